plugins {
    id("com.android.application") version "8.13.0"
    id("org.jetbrains.kotlin.android") version "2.2.20"
    id("com.google.gms.google-services") version "4.4.4"
}

/** From gradle.properties or -P: where this app provisions itself. */
fun given(name: String) = "\"${providers.gradleProperty(name).get()}\""

android {
    namespace = "org.homepot.client"
    compileSdk = 36
    defaultConfig {
        applicationId = "org.homepot.client"
        minSdk = 26
        targetSdk = 36
        versionCode = 1
        versionName = "1.0"
        buildConfigField("String", "SERVER_URL", given("homepot.server"))
        buildConfigField("String", "MQTT_URL", given("homepot.mqtt"))
        buildConfigField("String", "SITE_ID", given("homepot.site"))
        buildConfigField("String", "BOOTSTRAP_KEY", given("homepot.bootstrapKey"))
    }
    buildFeatures { buildConfig = true }
}

kotlin { jvmToolchain(17) }

dependencies {
    implementation("androidx.core:core-ktx:1.17.0")
    implementation("androidx.work:work-runtime-ktx:2.10.5")
    implementation(platform("com.google.firebase:firebase-bom:34.3.0"))
    implementation("com.google.firebase:firebase-messaging")
    implementation("org.eclipse.paho:org.eclipse.paho.client.mqttv3:1.2.5")
}
