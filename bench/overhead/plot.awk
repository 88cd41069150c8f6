# SPDX-License-Identifier: Apache-2.0
# tasks.csv -> an SVG: microseconds beyond a task's body over the body's length, both logarithmic.
BEGIN {
	FS = ","
	W = 640; H = 400; L = 70; R = 20; T = 40; B = 60
	x0 = 1; x1 = 4; y0 = 0; y1 = 2.5 # decades: 10 us .. 10 ms, 1 us .. 316 us
	printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\"", W, H
	print " font-family=\"sans-serif\" font-size=\"12\">"
	printf "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n"
	printf "<text x=\"%d\" y=\"20\" font-size=\"14\">What StarPU adds to a task</text>\n", L
	for (d = x0; d <= x1; d++)
		axis(X(10 ^ d), H - B, X(10 ^ d), T, X(10 ^ d), H - B + 18, "middle", 10 ^ d)
	for (d = y0; d <= y1; d++)
		axis(L, Y(10 ^ d), W - R, Y(10 ^ d), L - 8, Y(10 ^ d) + 4, "end", 10 ^ d)
	printf "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">", (L + W - R) / 2, H - 15
	print "length of the task's body, us</text>"
	printf "<text transform=\"translate(18,%d) rotate(-90)\" ", (T + H - B) / 2
	printf "text-anchor=\"middle\">"
	print "time beyond the body, us a task</text>"
}
function log10(v) { return log(v) / log(10) }
function X(v) { return L + (log10(v) - x0) / (x1 - x0) * (W - L - R) }
function Y(v) { v = v < 1 ? 1 : v; return H - B - (log10(v) - y0) / (y1 - y0) * (H - B - T) }
function axis(ax, ay, bx, by, tx, ty, anchor, label) {
	printf "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" ", ax, ay, bx, by
	print "stroke=\"#ddd\"/>"
	printf "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", tx, ty, anchor, label
}
function line(points, colour) {
	printf "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" ", colour
	printf "points=\"%s\"/>\n", points
}
function legend(y, colour, text) {
	printf "<text x=\"%d\" y=\"%d\" fill=\"%s\">%s</text>\n", W - R - 150, y, colour, text
}
/^[0-9]/ {
	chain = chain sprintf("%.1f,%.1f ", X($1), Y($2))
	free = free sprintf("%.1f,%.1f ", X($1), Y($3))
}
END {
	line(chain, "#1b5e20")
	line(free, "#e53935")
	legend(T + 10, "#1b5e20", "a chain")
	legend(T + 26, "#e53935", "independent tasks")
	print "</svg>"
}
