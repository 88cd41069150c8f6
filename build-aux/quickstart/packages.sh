# What fsmoe needs from the distribution. A package is looked for by name and installed only when
# it is missing; a machine that has everything (a cluster's modules, say) is left alone.

packages="gcc g++ make autoconf automake libtool pkg-config
	openmpi-bin libopenmpi-dev libhwloc-dev libopenblas-dev libjansson-dev libcmocka-dev
	fortunes"
# Only for building StarPU from the distribution's source package:
starpu_packages="dpkg-dev libfxt-dev"

missing_packages()
{
	local p
	for p in "$@"; do
		dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q '^install ok installed' || printf '%s ' "$p"
	done
}

as_root()
{
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	else
		sudo -n "$@"
	fi
}

can_be_root()
{
	[ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null
}

apt_install()
{
	export DEBIAN_FRONTEND=noninteractive
	as_root apt-get update -q &&
		as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
}

install_packages()
{
	local want
	if ! command -v dpkg-query >/dev/null; then
		echo "  not a Debian system: packages are left to you (see README, Installing)"
		return
	fi
	# shellcheck disable=SC2086
	want=$(missing_packages $packages $(pkg-config --exists starpu-1.4 starpu-1.3 2>/dev/null || echo $starpu_packages))
	[ -z "$want" ] && return
	can_be_root || die "these packages are missing and neither root nor sudo is at hand: $want"
	# shellcheck disable=SC2086
	step packages "installing packages" apt_install $want
}
