package org.homepot.client

import android.content.Context
import androidx.work.Constraints
import androidx.work.Data
import androidx.work.ExistingWorkPolicy
import androidx.work.ListenableWorker.Result
import androidx.work.NetworkType
import androidx.work.OneTimeWorkRequestBuilder
import androidx.work.WorkManager
import androidx.work.Worker
import androidx.work.WorkerParameters
import java.io.IOException

/** Sends the acks that wait and fetches what waits in the inbox, when there is a network. */
class AckWorker(context: Context, parameters: WorkerParameters) : Worker(context, parameters) {
    override fun doWork(): Result {
        val homepot = Homepot.of(applicationContext) ?: return Result.success()
        return unlessOffline {
            homepot.server.heartbeat()
            homepot.receiver.drainInbox()
            if (homepot.receiver.sendAcks()) Result.success() else Result.retry()
        }
    }
}

/** Tells the server this device's address, however long that takes. */
class RegisterWorker(context: Context, parameters: WorkerParameters) : Worker(context, parameters) {
    override fun doWork(): Result {
        val homepot = Homepot.of(applicationContext) ?: return Result.success()
        val provider = inputData.getString(PROVIDER) ?: return Result.failure()
        val address = inputData.getString(ADDRESS) ?: return Result.failure()
        return unlessOffline {
            homepot.server.register(provider, address, rank = 0, hasGms = inputData.getBoolean(HAS_GMS, false))
            Result.success()
        }
    }

    companion object {
        private const val PROVIDER = "provider"
        private const val ADDRESS = "address"
        private const val HAS_GMS = "has_gms"

        fun enqueue(context: Context, provider: String, address: String, hasGms: Boolean) {
            val input = Data.Builder()
                .putString(PROVIDER, provider)
                .putString(ADDRESS, address)
                .putBoolean(HAS_GMS, hasGms)
            val online = Constraints.Builder().setRequiredNetworkType(NetworkType.CONNECTED).build()
            val request = OneTimeWorkRequestBuilder<RegisterWorker>().setInputData(input.build()).setConstraints(online)
            WorkManager.getInstance(context)
                .enqueueUniqueWork("register", ExistingWorkPolicy.REPLACE, request.build())
        }
    }
}

/** What cannot be reached is tried again, with growing pauses; what was refused is not. */
private fun unlessOffline(work: () -> Result): Result = try {
    work()
} catch (_: IOException) {
    Result.retry()
} catch (_: Refused) {
    Result.failure()
}
