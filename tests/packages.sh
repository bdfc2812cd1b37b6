#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Install the Debian and npm packages that the demo and the tests use; where that cannot be done, say what is missing,
# what is skipped for it, and how to get it. Never fails for a missing package: the tests that need it skip. Fails
# without a Python that is new enough. With the argument `long` it is also about what only the long tests use; with `npm`
# it is only about npm's.
set -u

# package | a file or program that shows it is there | what is skipped without it
needed=(
    "python3-venv|/usr/lib/python3*/ensurepip/__init__.py|everything (the tools are installed into a virtual environment)"
    "qemu-system-x86|qemu-system-x86_64|booting machines in the sandbox"
    "qemu-system-arm|qemu-system-aarch64|booting arm64 machines in the sandbox"
    "qemu-efi-aarch64|/usr/share/AAVMF/AAVMF_CODE.fd|booting arm64 machines in the sandbox"
    "qemu-utils|qemu-img|qcow2, VMDK, VHD and VHDX images"
    "ovmf|/usr/share/OVMF/OVMF_CODE*.fd|booting machines by UEFI"
    "systemd-boot-efi|/usr/lib/systemd/boot/efi/linuxx64.efi.stub|tests on a Linux disk with a unified kernel image"
    "busybox-static|busybox|tests on real Linux disks"
    "grub-pc-bin|/usr/lib/grub/i386-pc/boot.img|tests on a Linux disk that boots by BIOS"
    "grub-common|grub-mkimage|tests on a Linux disk that boots by BIOS"
    "binutils|objcopy|tests on a Linux disk with a unified kernel image"
    "gdisk|sgdisk|checks of partition tables by another tool"
    "fdisk|sfdisk|checks of partition tables by another tool"
    "dosfstools|fsck.fat|checks of the FAT file system by another tool"
    "mtools|mdir|checks of the FAT file system by another tool"
    "e2fsprogs|mke2fs|tests on ext4 file systems"
    "xz-utils|xz|tests on .xz images"
    "zstd|zstd|tests on .zst images"
    "rclone|rclone|the test of the sandbox's Cloud Storage by a client in Go"
    "libarchive-tools|bsdtar|the test of tarballs by bsdtar"
    "7zip|7zz|tests of VMDK, VHDX and qcow2 by 7-Zip"
    "tar-split|tar-split|the test of tarballs by a program in Go"
    "pigz|pigz|the test of gzip members by pigz, and contests of the benchmark"
    "isal|igzip|contests of the benchmark"
    "nodejs|node|tests of the sandbox's Azure with Azurite, and a contest of the benchmark"
    "libsecret-1-0|/usr/lib/*/libsecret-1.so.0|tests with azcopy, and contests of the benchmark"
    "npm|npm|tests with Azurite and azcopy, and contests of the benchmark"
    "packer|packer|tests with Packer"
    "procps|ps|tests that look for processes left behind"
    "strace|strace|tests of failing system calls"
    "gcc|gcc|the benchmark's server"
    "libc6-dev|/usr/include/stdio.h|the benchmark's server"
    "libssl-dev|/usr/include/openssl/ssl.h|the benchmark's server"
    "openssl|openssl|the benchmark's server"
    "xfsprogs|mkfs.xfs|tests that recognise XFS"
    "btrfs-progs|mkfs.btrfs|tests that recognise Btrfs"
    "f2fs-tools|mkfs.f2fs|tests that recognise F2FS"
    "exfatprogs|mkfs.exfat|tests that recognise exFAT"
    "ntfs-3g|mkfs.ntfs|tests that recognise NTFS"
    "cryptsetup-bin|cryptsetup|tests that recognise LUKS"
    "squashfs-tools|mksquashfs|tests that recognise SquashFS"
    "erofs-utils|mkfs.erofs|tests that recognise EROFS"
    "ipxe|/usr/lib/ipxe/ipxe.efi|the tests that boot over the network"
    "ipxe-qemu|/usr/lib/ipxe/qemu/pxe-virtio.rom|the tests that boot over the network"
    "xorriso|xorriso|tests on ISO images"
    "genisoimage|genisoimage|tests on ISO images as LinuxKit and others make them"
    "isolinux|/usr/lib/ISOLINUX/isolinux.bin|tests on ISO images that a BIOS starts"
    "syslinux-utils|isohybrid|tests on ISO images that boot as disks too"
)
needed_long=(
    "bc|bc|the long test with a kernel of its own"
    "bison|bison|the long test with a kernel of its own"
    "flex|flex|the long test with a kernel of its own"
    "libelf-dev|/usr/include/gelf.h|the long test with a kernel of its own"
    "qemu-user|qemu-aarch64|the long tests of other processors"
)
[ "${1:-}" = long ] && needed+=("${needed_long[@]}")

there() {
    case "$1" in
        /*) compgen -G "$1" >/dev/null ;;
        *) PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null ;;
    esac
}

apt() {
    DEBIAN_FRONTEND=noninteractive apt-get "$@" >>"$log" 2>&1
}

root=false
[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && root=true
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Azurite and azcopy, at the versions of npm/package-lock.json, into .cache/npm: once, until that file changes.
here=$(cd "$(dirname "$0")" && pwd)
npm_folder=$here/../.cache/npm
npm_packages() {
    local programs=$npm_folder/node_modules/.bin
    cmp -s "$here/npm/package-lock.json" "$npm_folder/installed.json" && [ -e "$programs/azurite-blob" ] && return
    there node && there npm || return 0  # what is missing has been said
    mkdir -p "$npm_folder" && cp "$here"/npm/package*.json "$npm_folder" || return
    echo "installing: azurite and azcopy"
    (cd "$npm_folder" && npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error) \
        >"$log" 2>&1 || { tail -n 5 "$log"; return 1; }
    # The package of azcopy is for editors that start it themselves: its program is no command, and cannot be run.
    local azcopy=../@azure-tools/azcopy-linux/dist/bin/azcopy_linux_amd64
    if [ "$(uname -m)" = x86_64 ]; then
        chmod +x "$programs/$azcopy" && ln -sf "$azcopy" "$programs/azcopy" || return
    fi
    cp "$here/npm/package-lock.json" "$npm_folder/installed.json"
}
if [ "${1:-}" = npm ]; then
    npm_packages || echo "missing: azurite and azcopy (npm), so skipped: tests with them, and contests of the benchmark"
    exit 0
fi

missing=()
for line in "${needed[@]}"; do
    IFS='|' read -r package sign _ <<<"$line"
    there "$sign" || missing+=("$package")
done
# The tests on real Linux disks also download a kernel package, for which apt needs its lists.
if $root && { [ ${#missing[@]} -gt 0 ] || ! compgen -G "/var/lib/apt/lists/*Packages*" >/dev/null; }; then
    apt update || tail -n 5 "$log"
fi
if $root && [ ${#missing[@]} -gt 0 ]; then
    echo "installing: ${missing[*]}"
    if ! apt install -y --no-install-recommends "${missing[@]}"; then
        # One package that this system does not have must not keep the others away.
        for package in "${missing[@]}"; do
            apt install -y --no-install-recommends "$package" || tail -n 2 "$log"
        done
    fi
fi

for line in "${needed[@]}"; do
    IFS='|' read -r package sign skipped <<<"$line"
    there "$sign" || echo "missing: $package, so skipped: $skipped (on Debian or Ubuntu: sudo apt-get install $package)"
done

python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "lkcloud needs Python 3.11 or newer, and $python is $("$python" --version 2>&1 | head -n 1): name another one, as in make PYTHON=python3.12" >&2
    exit 1
fi
