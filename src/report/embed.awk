# SPDX-License-Identifier: Apache-2.0
# Files as C strings: NAME.html becomes fsmoe_report_page, .css _style, .js _script.
BEGIN {
	name["html"] = "page"; name["css"] = "style"; name["js"] = "script"
	print "/* Made by embed.awk from src/report/page. */"
	print "#include \"report/report.h\"\n"
}
FNR == 1 {
	if (NR > 1) print "\t;\n"
	kind = FILENAME
	sub(/.*\./, "", kind)
	print "const char fsmoe_report_" name[kind] "[] ="
}
{
	gsub(/\\/, "&&")
	gsub(/"/, "\\\\&")
	gsub(/\t/, "\\t")
	print "\t\"" $0 "\\n\""
}
END { print "\t;" }
