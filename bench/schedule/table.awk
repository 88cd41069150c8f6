# policies.csv -> a table: the median over the passes of each policy's median step, over fsmoe's.
# SPDX-License-Identifier: Apache-2.0
/^#/ || $1 == "scheduler" { next }
{ t[$1, ++n[$1]] = $6 }
!($1 in place) { place[$1] = ++policies; name[policies] = $1 }

function median(policy,    i, k, m, s)
{
	m = n[policy]
	for (i = 1; i <= m; i++) {
		s[i] = t[policy, i]
		for (k = i; k > 1 && s[k] < s[k - 1]; k--) {
			tmp = s[k]; s[k] = s[k - 1]; s[k - 1] = tmp
		}
	}
	low = s[1]; high = s[m]
	return (s[int((m + 1) / 2)] + s[int(m / 2) + 1]) / 2
}

END {
	base = median("fsmoe")
	printf "%-10s %12s %22s %10s\n", "policy", "step", "(least to most)", "over fsmoe"
	for (i = 1; i <= policies; i++) {
		v = median(name[i])
		printf "%-10s %9.2f ms (%8.2f to %8.2f) %10.3f\n", name[i],
			1e3 * v, 1e3 * low, 1e3 * high, v / base
	}
}
