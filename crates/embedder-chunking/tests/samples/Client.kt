package com.example.client

import kotlinx.coroutines.delay

const val RETRIES = 3

/** Talks to the server. */
data class Client(val host: String, private val port: Int = 80) {
    private var open = false

    suspend fun <T> call(path: String, parse: (String) -> T): T {
        repeat(RETRIES) { attempt ->
            delay(100L * attempt)
        }
        return parse(path)
    }

    companion object Factory {
        fun local() = Client("localhost")
    }
}

fun Client.url(): String = "http://$host"

sealed interface Reply
object Empty : Reply
