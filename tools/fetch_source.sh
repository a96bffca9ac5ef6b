#!/bin/sh
# Fetches the upstream tarball of a Debian source package and unpacks it:
#   fetch_source.sh PACKAGE VERSION TARBALL SHA256 DIRECTORY
# The archives are the ones this machine's apt already uses; a source list and state of
# our own (under DIRECTORY.apt) leave the machine's untouched. The tarball's hash is pinned
# by the caller: another content is an error. Nothing fetched is committed.
set -eu
package=$1 version=$2 tarball=$3 sha256=$4 directory=$5
[ -e "$directory/.complete" ] && exit 0

apt=$directory.apt
mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial"
apt=$(cd "$apt" && pwd)
apt-get indextargets --format '$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(CREATED_BY)' |
    awk -F'|' '$1 == "Debian" && $4 == "main" && $5 == "Packages" && !seen[$2 $3]++ {
        print "deb-src " $2 " " $3 " main" }' >"$apt/sources.list"
[ -s "$apt/sources.list" ] || {
    echo "fetch_source.sh: apt on this machine lists no Debian archive (run apt-get update first)" >&2
    exit 1
}
options="-o APT::Sandbox::User=root -o Dir::Etc::sourcelist=$apt/sources.list -o Dir::Etc::sourceparts=/dev/null
    -o Dir::State=$apt/state -o Dir::State::status=/var/lib/dpkg/status -o Dir::Cache=$apt/cache"
cd "$apt"
# shellcheck disable=SC2086
apt-get $options -qq update
# shellcheck disable=SC2086
apt-get $options -qq source --download-only "$package=$version"
echo "$sha256  $tarball" | sha256sum --check --quiet --strict - 2>/dev/null || {
    echo "fetch_source.sh: $tarball of $package $version is not the pinned one" >&2
    exit 1
}
cd - >/dev/null
mkdir -p "$directory"
tar -xf "$apt/$tarball" -C "$directory" --strip-components=1
touch "$directory/.complete"
rm -rf "$apt"
