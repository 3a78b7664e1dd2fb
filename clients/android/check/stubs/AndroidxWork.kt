package androidx.work

import android.content.Context
import java.util.concurrent.TimeUnit

abstract class ListenableWorker(context: Context, parameters: WorkerParameters) {
    val applicationContext: Context get() = TODO()
    val inputData: Data get() = TODO()

    abstract class Result {
        companion object {
            fun success(): Result = TODO()
            fun retry(): Result = TODO()
            fun failure(): Result = TODO()
        }
    }
}

abstract class Worker(context: Context, parameters: WorkerParameters) : ListenableWorker(context, parameters) {
    abstract fun doWork(): Result
}

class WorkerParameters

class Data {
    fun getString(key: String): String? = TODO()
    fun getBoolean(key: String, defaultValue: Boolean): Boolean = TODO()

    class Builder {
        fun putString(key: String, value: String?): Builder = TODO()
        fun putBoolean(key: String, value: Boolean): Builder = TODO()
        fun build(): Data = TODO()
    }
}

class Constraints {
    class Builder {
        fun setRequiredNetworkType(networkType: NetworkType): Builder = TODO()
        fun build(): Constraints = TODO()
    }
}

enum class NetworkType { CONNECTED }

enum class BackoffPolicy { EXPONENTIAL }

enum class ExistingWorkPolicy { REPLACE }

enum class OutOfQuotaPolicy { RUN_AS_NON_EXPEDITED_WORK_REQUEST }

class OneTimeWorkRequest {
    class Builder {
        fun setInputData(inputData: Data): Builder = TODO()
        fun setConstraints(constraints: Constraints): Builder = TODO()
        fun setBackoffCriteria(policy: BackoffPolicy, delay: Long, unit: TimeUnit): Builder = TODO()
        fun setExpedited(policy: OutOfQuotaPolicy): Builder = TODO()
        fun build(): OneTimeWorkRequest = TODO()
    }
}

inline fun <reified W : ListenableWorker> OneTimeWorkRequestBuilder(): OneTimeWorkRequest.Builder = TODO()

abstract class WorkManager {
    abstract fun enqueueUniqueWork(name: String, policy: ExistingWorkPolicy, request: OneTimeWorkRequest): Any

    companion object {
        fun getInstance(context: Context): WorkManager = TODO()
    }
}
