package android.os

interface IBinder

class Bundle

object Build {
    const val MODEL = "model"
    const val ID = "id"

    object VERSION {
        val SDK_INT: Int = TODO()
    }

    object VERSION_CODES {
        const val TIRAMISU = 33
    }
}
