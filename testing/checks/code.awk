# Prints FILE:LINE:text of C files without comments and with empty strings.
FNR == 1 { comment = 0 }
{
    line = $0
    gsub(/'"'/, "' '", line)
    gsub(/"([^"\\]|\\.)*"/, "\"\"", line)
    out = ""
    while (line != "") {
        i = index(line, comment ? "*/" : "/*")
        j = comment ? 0 : index(line, "//")
        if (j && (!i || j < i)) {
            out = out substr(line, 1, j - 1)
            break
        }
        if (!comment)
            out = out (i ? substr(line, 1, i - 1) : line)
        if (!i)
            break
        line = substr(line, i + 2)
        comment = !comment
    }
    print FILENAME ":" FNR ":" out
}
