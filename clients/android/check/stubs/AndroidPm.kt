package android.content.pm

object ServiceInfo {
    const val FOREGROUND_SERVICE_TYPE_SPECIAL_USE = 1 shl 30
}
