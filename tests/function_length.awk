# Names every function of more than `most` lines. With the project's brace style a function's body stands between a {
# and a } in the first column.
/^[a-z].*\(/ { head = $0 }
/^\{$/ {
    start = FNR
    in_function = (head != "")
}
/^\}$/ && in_function {
    if (FNR - start + 1 > most) {
        print FILENAME ":" start ": " FNR - start + 1 " lines in " head
        wrong = 1
    }
    in_function = 0
    head = ""
}
END { exit wrong }
