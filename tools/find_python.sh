#!/bin/sh
# Prints the interpreter that set-up takes and the lock that fits it and the C library, as "python3.13 newer", or
# "none" and one line that says what to install on this system.
#
#     tools/find_python.sh [INTERPRETER]
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

NAME="this system" ID="" ID_LIKE="" VERSION_ID=""
# shellcheck disable=SC1091 # of the system
[ -r /etc/os-release ] && . /etc/os-release
system="$NAME${VERSION_ID:+ $VERSION_ID}"
wanted=$([ "$is_new" = yes ] && echo "3.11, 3.12 or 3.13" || echo "3.11")
if [ -n "$lacks_venv" ]; then
	why="the modules venv and ensurepip of $lacks_venv are missing"
	package=python$(version_of "$lacks_venv")-venv
elif [ -n "$is_named" ]; then
	version=$(version_of "$1")
	why="it needs Python $wanted here (glibc $glibc), and $1 is ${version:+Python }${version:-not an interpreter}"
else
	why="it needs Python $wanted here (glibc $glibc) and found $(python3 --version 2>/dev/null || echo none)"
fi
case "$ID $ID_LIKE" in
	*debian*)
		case "$ID $VERSION_ID" in
			debian\ 1[23] | ubuntu\ 24.* | ubuntu\ 25.*) package=${package:-python3 python3-venv} ;;
			*) package=${package:-python3.11 python3.11-venv} ;;
		esac
		how="apt-get install $package" ;;
	*fedora* | *rhel*) how="dnf install $([ "$is_new" = yes ] && echo python3.13 || echo python3.11)" ;;
	*suse*) how="zypper install $([ "$is_new" = yes ] && echo python313 || echo python311)" ;;
	*) how="install Python $wanted with its module venv" ;;
esac
echo "none set-up cannot start: $why. On $system: $how. Or name another: make run PYTHON=/path/to/python"
