#!/bin/sh
# Prints the interpreter that set-up takes and the lock that fits it and the C library, as "python3.13 newer", or
# "none" and one line that says what to install on this system.
#
#     tools/find_python.sh [INTERPRETER]
#
# The variable OS_RELEASE names another file than /etc/os-release, for tests.
#
# "older": Python 3.11. "newer": Python 3.12 and 3.13, whose wheels of ml-metadata and tensorflow-data-validation need
# glibc 2.39 (requirements/overrides.txt says more).

glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null | sed 's/^glibc //')
machine=$(uname -m)
if [ "$machine" != x86_64 ] || [ -z "$glibc" ]; then
	echo "none set-up cannot start: it needs Linux on x86-64 with glibc, because ml-metadata and tfx-bsl have wheels for" \
		"nothing else. This is $machine with ${glibc:+glibc }${glibc:-another C library}."
	exit 0
fi
major=${glibc%%.*} minor=${glibc#*.}
is_new=$([ "${major:-0}" -eq 2 ] && [ "${minor%%.*}" -ge 39 ] && echo yes || echo no)

version_of() {
	"$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

lock_of() {
	case "$(version_of "$1") $is_new" in
		3.11\ *) echo older ;;
		3.12\ yes | 3.13\ yes) echo newer ;;
	esac
}

can_set_up() {
	"$1" -c 'import ensurepip, venv' >/dev/null 2>&1
}

is_named=${1:+yes}
folders=$(echo "$PATH" | tr ':' ' ')
# shellcheck disable=SC2086 # one word a folder
found=${1:-"python3.11 python3.13 python3.12 python3 python $(ls -d $(printf '%s/python3.1[123] ' $folders) \
	"$HOME"/.pyenv/versions/3.1[123]*/bin/python3 "$HOME"/.local/share/uv/python/cpython-3.1[123]*/bin/python3 \
	/opt/python*/bin/python3 2>/dev/null)"}
lacks_venv=""
for python in $found; do
	lock=$(lock_of "$python")
	[ -n "$lock" ] || continue
	can_set_up "$python" && { echo "$python $lock"; exit 0; }
	lacks_venv=${lacks_venv:-$python}
done

NAME="this system" ID="" ID_LIKE="" VERSION_ID="" VERSION_CODENAME="" UBUNTU_CODENAME="" DEBIAN_CODENAME=""
OS_RELEASE=${OS_RELEASE:-/etc/os-release}
# shellcheck disable=SC1090 # of the system
[ -r "$OS_RELEASE" ] && . "$OS_RELEASE"
system="$NAME${VERSION_ID:+ $VERSION_ID}"
wanted=$([ "$is_new" = yes ] && echo "3.11, 3.12 or 3.13" || echo "3.11")
if [ -n "$lacks_venv" ]; then
	why="the modules venv and ensurepip of $lacks_venv are missing"
elif [ -n "$is_named" ]; then
	version=$(version_of "$1")
	why="it needs Python $wanted here (glibc $glibc), and $1 is ${version:+Python }${version:-not an interpreter}"
else
	why="it needs Python $wanted here (glibc $glibc) and found $(python3 --version 2>/dev/null || echo none)"
fi
# Mint and others have the packages of the Ubuntu or Debian that they name.
case "${UBUNTU_CODENAME:-${DEBIAN_CODENAME:-$VERSION_CODENAME}}" in
	jammy) has="python3.11 python3.11-venv" ;;
	bookworm | trixie | noble | oracular | plucky | questing) has="python3 python3-venv" ;; # 3.11 to 3.13, with their glibc
	*) has="" ;;
esac
case "$ID $ID_LIKE" in
	*debian* | *ubuntu*) packages=$has how="apt-get install $packages" ;;
	*rhel*) packages=$([ "$is_new" = yes ] && echo python3 || echo python3.11) how="dnf install $packages" ;;
	*fedora*) packages=$([ "$is_new" = yes ] && echo python3.13 || echo python3.11) how="dnf install $packages" ;;
	*suse*) packages=$([ "$is_new" = yes ] && echo python313 || echo python311) how="zypper install $packages" ;;
	*) packages="" ;;
esac
[ -n "$packages" ] || how="install Python 3.11 with its module venv, for example by: uv python install 3.11"
echo "none set-up cannot start: $why. On $system: $how. Or name another: make run PYTHON=/path/to/python"
