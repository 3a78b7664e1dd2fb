package org.homepot.client

object BuildConfig {
    const val SERVER_URL = ""
    const val MQTT_URL = ""
    const val SITE_ID = ""
    const val BOOTSTRAP_KEY = ""
}

object R {
    object drawable {
        const val ic_message = 1
    }
}
