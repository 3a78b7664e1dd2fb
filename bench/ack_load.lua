-- wrk, one thread: a POST for each line of the file that is named after `--`, again from the start when it ends.
-- A number of milliseconds after it: how long a connection rests before each request, on the average.

-- Requests are made before the load begins. Lua keeps each string once and finds it by a few of its characters, the last
-- among them: lines that differ there cost nothing, others more than the server that they are meant for.

function init(arguments)
    wrk.method = "POST"
    wrk.headers["Content-Type"] = "application/json"
    requests = {}
    for line in io.lines(arguments[1]) do
        requests[#requests + 1] = wrk.format(nil, nil, nil, line)
    end
    count = #requests
    sent = 0
    local rest_ms = tonumber(arguments[2] or 0)
    if rest_ms > 0 then
        delay = function() return math.random(0, 2 * rest_ms) end
    end
end

function request()
    sent = sent % count + 1
    return requests[sent]
end
