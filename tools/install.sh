#!/bin/sh
# Installs the Debian packages of tools/packages.txt that are missing here, by apt,
# with sudo where we are not root. Does nothing, fast, where all are there.
set -eu
here=$(dirname "$0")
missing=
for package in $(sed 's/#.*//' "$here/packages.txt"); do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || {
        echo "install.sh: these packages are missing and there is no sudo to install them:$missing" >&2
        exit 1
    }
    as_root=sudo
fi
echo "installing Debian packages:$missing"
$as_root apt-get update -qq
# shellcheck disable=SC2086
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing >/dev/null
