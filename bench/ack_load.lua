-- wrk, one thread: a POST for each line of the file that is named after `--`, again from the start when it ends.

function init(arguments)
    bodies = {}
    for line in io.lines(arguments[1]) do
        bodies[#bodies + 1] = line
    end
    sent = 0
    wrk.method = "POST"
    wrk.headers["Content-Type"] = "application/json"
end

function request()
    sent = sent % #bodies + 1
    return wrk.format(nil, nil, nil, bodies[sent])
end
