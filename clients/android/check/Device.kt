package org.homepot.check

import java.io.File
import org.homepot.client.AckSpool
import org.homepot.client.Receiver
import org.homepot.client.SeenIds
import org.homepot.client.Server

/**
 * The part of the app that needs no Android, as a device of a real server: it is provisioned, prints its id, waits for
 * a line, and then prints each message that it shows, twice fetched and once shown.
 */
fun main(arguments: Array<String>) {
    val (serverUrl, siteId, bootstrapKey, folder) = arguments
    val server = Server(Server.provision(serverUrl, siteId, bootstrapKey, "android-check").also { println(it.deviceId) })
    readln()
    val spool = AckSpool(File(folder, "acks"))
    val receiver = Receiver(server, spool, SeenIds(File(folder, "seen"))) { println("shown ${it.id} ${it.title}") }
    server.heartbeat()
    server.register("mqtt", "android-check", rank = 0, hasGms = false)
    server.inbox().forEach(receiver::receive)
    receiver.drainInbox()
    println("waiting ${spool.waiting(100).size}")
}
