# The packages that fsmoe needs from the distribution. Each is looked for by name and installed only
# if it is missing; a machine that has everything (a cluster's modules, say) is left alone.

packages=(gcc g++ make autoconf automake libtool pkg-config
	openmpi-bin libopenmpi-dev libhwloc-dev libopenblas-dev libjansson-dev libcmocka-dev
	fortunes)
# Only for building StarPU from the distribution's source package:
starpu_packages=(dpkg-dev libfxt-dev)

missing_packages()
{
	local p
	for p in "$@"; do
		dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q '^install ok installed' ||
			printf '%s ' "$p"
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

# Asks for a password only where somebody can type one.
can_be_root()
{
	[ "$(id -u)" -eq 0 ] && return
	command -v sudo >/dev/null || return
	sudo -n true 2>/dev/null || { [ -t 0 ] && sudo -v; }
}

# The package lists are brought up to date only when what they say is not enough.
apt_install()
{
	local install=(env DEBIAN_FRONTEND=noninteractive apt-get install -q -y
		--no-install-recommends)
	as_root "${install[@]}" "$@" || { as_root apt-get update -q &&
		as_root "${install[@]}" "$@"; }
}

# install_packages PACKAGE...: those of them that are missing.
install_packages()
{
	local -a want
	if ! command -v dpkg-query >/dev/null; then
		echo "  not a Debian system: packages are left to you (README.md, Installing)"
		return
	fi
	read -r -a want <<<"$(missing_packages "$@")"
	[ ${#want[@]} -gt 0 ] || return 0
	can_be_root ||
		die "these packages are missing and neither root nor sudo is at hand: ${want[*]}"
	step "packages-${want[0]}" "installing ${#want[@]} packages" apt_install "${want[@]}"
}
