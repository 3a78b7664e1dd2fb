package com.google.android.gms.common

import android.content.Context

class ConnectionResult {
    companion object {
        const val SUCCESS = 0
    }
}

class GoogleApiAvailability {
    fun isGooglePlayServicesAvailable(context: Context): Int = TODO()

    companion object {
        fun getInstance(): GoogleApiAvailability = TODO()
    }
}
