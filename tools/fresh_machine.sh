#!/usr/bin/env bash
# Runs the README's two commands on a fresh machine: a minimal system in a folder, with a clone of the last commit.
#
#     sudo tools/fresh_machine.sh DIR [SUITE] [COMMAND ...]
#
# DIR: for the system, made where it is not there; an old one keeps its packages and gets a new clone.
# SUITE: trixie (Debian 13, Python 3.13), the default, another of Debian's, or noble (Ubuntu 24.04, Python 3.12), whose
# signature is checked where Ubuntu's archive keyring is installed.
# COMMAND: what to run in the clone; `make run` and then `make test` by default.
#
# Needs root, debootstrap and network. PYTHON=/path/in/DIR names another interpreter.
set -euo pipefail

root=$(realpath -m "${1:?a folder for the system}")
suite=${2:-trixie}
shift $(($# < 2 ? $# : 2))
repository=$(cd "$(dirname "$0")/.." && pwd)

if [ ! -e "$root/etc/os-release" ]; then
	options=(--variant=minbase --include=python3,python3-venv,make,git,ca-certificates)
	source=("$suite" "$root")
	if [ "$suite" = noble ]; then
		options+=(--components=main,universe)
		source+=(http://archive.ubuntu.com/ubuntu gutsy) # all of Ubuntu's suites since gutsy are made alike
	fi
	debootstrap "${options[@]}" "${source[@]}"
fi
# The network as this machine reaches it: its resolver, its own name, and its certificates under the usual name.
cp -L /etc/resolv.conf /etc/hosts "$root/etc"
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
for folder in proc dev; do
	mountpoint -q "$root/$folder" || mount --rbind "/$folder" "$root/$folder"
done
trap 'umount -lR "$root/proc" "$root/dev"' EXIT

rm -rf "$root/root/ssd-tuner"
git clone --quiet "$repository" "$root/root/ssd-tuner"
certificates=/etc/ssl/certs/ca-certificates.crt
environment=(HOME=/root PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 SSL_CERT_FILE=$certificates PIP_CERT=$certificates)
for name in PYTHON http_proxy https_proxy no_proxy UV_INDEX_URL PIP_INDEX_URL; do
	[ -z "${!name:-}" ] || environment+=("$name=${!name}")
done
run() {
	echo "+ $*"
	chroot "$root" env -i "${environment[@]}" sh -c 'cd /root/ssd-tuner && exec "$@"' sh "$@"
}
run sh -c '. /etc/os-release; echo "$PRETTY_NAME"; tools/find_python.sh $PYTHON; getconf GNU_LIBC_VERSION'
if [ $# -gt 0 ]; then
	run "$@"
else
	time run make run
	time run make test
fi
