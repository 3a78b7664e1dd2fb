package org.eclipse.paho.client.mqttv3.persist

import org.eclipse.paho.client.mqttv3.MqttClientPersistence

class MqttDefaultFilePersistence(directory: String) : MqttClientPersistence
