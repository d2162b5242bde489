# Reads the log of `ctest -V`, prints one line per result: pass|fail|skip, a tab, the name, a tab, the reason.
# A program that speaks TAP (cmocka with CMOCKA_MESSAGE_OUTPUT=TAP, the shell tests) counts once per test in it,
# another one once; one that dies in between counts as failed whatever it said before.
function emit(outcome, name, reason)
{
    gsub(/\t/, " ", reason)
    print outcome "\t" name "\t" reason
}

# A failure is told when all that its program says of it has been read: what was compared, and where.
function settle(number)
{
    if (number in failure)
        emit("fail", program[number] ": " failure[number], why[number])
    delete failure[number]
}

/^ *Start +[0-9]+: / {
    number = $2
    sub(/:$/, "", number)
    program[number] = $3
    next
}

/^[0-9]+: / {
    number = $1
    sub(/:$/, "", number)
    text = substr($0, length($1) + 2)
    name = text
    if (text ~ /^(not )?ok [0-9]+ /)
        settle(number)
    sub(/^(not )?ok [0-9]+ (- )?/, "", name)
    if (text ~ /^(not )?ok [0-9]+ .*# SKIP/) {
        reason = name
        sub(/.*# SKIP */, "", reason)
        sub(/ *# SKIP.*/, "", name)
        if (name == "") { # cmocka: the name stands behind the mark, the reason was printed before
            name = reason
            reason = said[number]
        }
        emit("skip", program[number] ": " name, reason)
        counted[number]++
    } else if (text ~ /^ok [0-9]+ /) {
        emit("pass", program[number] ": " name, "")
        counted[number]++
    } else if (text ~ /^not ok [0-9]+ /) {
        failure[number] = name
        why[number] = said[number]
        counted[number]++
        failed[number]++
    } else if (text ~ /^20[0-9][0-9]-[0-9-]+T[0-9:.]+Z /) {
        next # a log line
    } else if (text !~ /^(1\.\.[0-9]+|#.*|Test command:.*|Working Directory:.*|Environment variables:.*|Test timeout.*| .*)?$/) {
        said[number] = text
    } else if (text ~ /^# ./) {
        said[number] = substr(text, 3)
        if (number in failure && text !~ /^# (not )?ok /)
            why[number] = why[number] (why[number] == "" ? "" : "; ") said[number]
    }
    next
}

/^ *[0-9]+\/[0-9]+ Test +#[0-9]+: / {
    match($0, /#[0-9]+/)
    number = substr($0, RSTART + 1, RLENGTH - 1)
    settle(number)
    if ($0 ~ /\*\*\*Skipped|Skipped/)
        emit("skip", program[number], said[number])
    else if ($0 ~ / Passed /) {
        if (!counted[number])
            emit("pass", program[number], "")
    } else if (!failed[number]) {
        outcome = $0
        sub(/.*\*\*\*/, "", outcome)
        emit("fail", program[number], outcome " " said[number])
    }
}
