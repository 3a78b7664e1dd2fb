package android.content

import java.io.File

open class Context {
    val applicationContext: Context get() = TODO()
    val noBackupFilesDir: File get() = TODO()
    fun <T> getSystemService(serviceClass: Class<T>): T = TODO()
    fun startForegroundService(service: Intent): Unit = TODO()
    fun stopService(service: Intent): Boolean = TODO()
}

class Intent() {
    constructor(context: Context, target: Class<*>) : this()
    fun putExtra(name: String, value: String?): Intent = TODO()
    fun getStringExtra(name: String): String? = TODO()
}

abstract class BroadcastReceiver {
    abstract fun onReceive(context: Context, intent: Intent)
}
