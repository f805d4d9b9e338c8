# Which backups of a service are kept. One backup on each line of the input: its file name, and `verified` behind it if it was.
# Variables: service, last, daily, weekly, monthly (how many), protect (a file that is kept whatever else holds).
#
# Kept are the newest of each of the last `daily` days, `weekly` weeks (from Monday, as in ISO 8601) and `monthly` months that
# have a backup; the newest `last`, and at least one, of all; and the newest that was verified. Days are those of UTC, which is what names are in, so
# neither time zones nor the clock of this machine have a say. Names that are none of a backup of this service are not mentioned.
#
# Output, newest first: `keep NAME reason,reason` or `remove NAME`.

# Days since 0000-03-01 (proleptic Gregorian), a Wednesday.
function day_number(y, m, d) {
    if (m <= 2) { y--; m += 12 }
    return 365 * y + int(y / 4) - int(y / 100) + int(y / 400) + int((153 * (m - 3) + 2) / 5) + d - 1
}

function days_of(y, m) {
    if (m == 2) return (y % 4 == 0 && (y % 100 != 0 || y % 400 == 0)) ? 29 : 28
    return (m == 4 || m == 6 || m == 9 || m == 11) ? 30 : 31
}

function digits(text) { return text ~ /^[0-9]+$/ }

# Reads a name into `y`, `m`, `d` and `clock`; false when it is none.
function parse(name,    stem) {
    if (substr(name, 1, length(service) + 1) != service "-") return 0
    stem = substr(name, length(service) + 2)
    if (!sub(/\.tar\.zst\.age$/, "", stem) && !sub(/\.tar\.zst$/, "", stem)) return 0
    if (substr(stem, 5, 1) != "-" || substr(stem, 8, 1) != "-") return 0
    y = substr(stem, 1, 4); m = substr(stem, 6, 2); d = substr(stem, 9, 2)
    if (!digits(y) || !digits(m) || !digits(d) || length(y m d) != 8) return 0
    y += 0; m += 0; d += 0
    if (m < 1 || m > 12 || d < 1 || d > days_of(y, m)) return 0
    clock = substr(stem, 11)
    if (clock == "") { clock = "000000"; return 1 }
    if (substr(clock, 1, 1) != "T") return 0
    clock = substr(clock, 2)
    sub(/Z$/, "", clock)
    return length(clock) == 6 && digits(clock) && substr(clock, 1, 2) < 24 && substr(clock, 3, 2) < 60 && substr(clock, 5, 2) < 60
}

parse($1) {
    count++
    name[count] = $1
    verified[count] = ($2 == "verified")
    number = day_number(y, m, d)
    day[count] = number
    # 0000-03-01 is a Wednesday: two days after a Monday.
    week[count] = int((number + 2) / 7)
    month[count] = y * 12 + m
    key[count] = sprintf("%08d%s%s", number, clock, $1)
}

function because(which, why) { reason[which] = reason[which] (reason[which] == "" ? "" : ",") why }

END {
    # By insertion: there are dozens, and POSIX awk sorts nothing.
    for (i = 1; i <= count; i++) {
        for (j = i; j > 1 && key[order[j - 1]] < key[i]; j--) order[j] = order[j - 1]
        order[j] = i
    }
    for (i = 1; i <= count; i++) {
        which = order[i]
        if (i == 1 || i <= last) because(which, i == 1 ? "newest" : "last")
        if (name[which] == protect) because(which, "new")
        if (verified[which] && !proven++) because(which, "verified")
        if (!(day[which] in seen_day) && days < daily) { days++; because(which, "daily") }
        if (!(week[which] in seen_week) && weeks < weekly) { weeks++; because(which, "weekly") }
        if (!(month[which] in seen_month) && months < monthly) { months++; because(which, "monthly") }
        seen_day[day[which]]; seen_week[week[which]]; seen_month[month[which]]
        if (reason[which] == "") print "remove " name[which]
        else print "keep " name[which] " " reason[which]
    }
}
