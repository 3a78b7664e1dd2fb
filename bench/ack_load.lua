-- wrk, one thread: a POST for each line of the file that is named after `--`, again from the start when it ends.
-- A number of milliseconds after it: how long a connection rests before each request, on the average.

function init(arguments)
    bodies = {}
    for line in io.lines(arguments[1]) do
        bodies[#bodies + 1] = line
    end
    sent = 0
    local rest_ms = tonumber(arguments[2] or 0)
    if rest_ms > 0 then
        delay = function() return math.random(0, 2 * rest_ms) end
    end
    wrk.method = "POST"
    wrk.headers["Content-Type"] = "application/json"
end

function request()
    sent = sent % #bodies + 1
    return wrk.format(nil, nil, nil, bodies[sent])
end
