#!/usr/bin/env python3
"""Makes boot images.

    mkimage.py base OUTPUT.iso KERNEL.elf INITRD.cpio GRUB.cfg
        the image for every node, BIOS and UEFI, by grub-mkrescue, with a cluster.conf
        of two nodes and a new key (`make iso`)
    mkimage.py run OUTPUT.iso BASE.iso CLUSTER.CONF [--options WORDS] [--extra CPIO]
                       [--wait SECONDS]
        a copy of the base image with other identity, kernel options and files: what
        the launcher does for each run, in a fraction of a second
"""
import argparse
import os
import secrets
import shutil
import subprocess
import sys
import tempfile

GRUB_MODULES = (
    "normal multiboot2 iso9660 test echo sleep minicmd search search_fs_file all_video video "
    "gfxterm serial configfile part_acorn part_amiga part_apple part_bsd part_dfly part_dvh "
    "part_gpt part_msdos part_plan part_sun part_sunpc")


class ImageError(Exception):
    """An image could not be made; the text says why."""


def node_mac(node):
    return f"52:54:00:49:53:{node + 1:02x}"


def card_mac(node, card):
    """The MAC of a node's further card number `card`, from 1."""
    return f"52:54:00:49:{0x53 + card:02x}:{node + 1:02x}"


def node_address(node):
    return f"10.7.0.{node + 1}"


def cluster_conf(nodes, key=None, unlisted=0):
    """The text of cluster.conf for a cluster of `nodes` nodes, the last `unlisted` of which
    have no line; a new key unless given."""
    lines = ["# Isthmus cluster: node ID MAC IPV4, one line a node; the key is secret."]
    lines += [f"node {n} {node_mac(n)} {node_address(n)}" for n in range(nodes - unlisted)]
    lines.append("key " + (key or secrets.token_hex(32)))
    return "\n".join(lines) + "\n"


def run_cfg(options, timeout=0):
    """The text of /boot/grub/run.cfg. Options are words; GRUB splits them at blanks."""
    if any(character in options for character in "'\"\\$\n{};|&<>"):
        raise ImageError(f"kernel options must be plain words: {options!r}")
    return f"set timeout={timeout}\nset options='{options}'\n"


def _command(words):
    result = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            errors="replace", check=False)
    if result.returncode != 0:
        raise ImageError(f"{words[0]} failed:\n{result.stdout[-2000:]}")


def base_make(output, kernel, initrd, grub_cfg):
    """Makes the image of `make iso` from a kernel ELF, initial files and GRUB's menu."""
    with tempfile.TemporaryDirectory(prefix="isthmus-image-") as tree:
        os.makedirs(tree + "/boot/grub")
        shutil.copy(kernel, tree + "/boot/isthmus.elf")
        shutil.copy(initrd, tree + "/boot/initrd.cpio")
        shutil.copy(grub_cfg, tree + "/boot/grub/grub.cfg")
        with open(tree + "/boot/cluster.conf", "w", encoding="ascii") as file:
            file.write(cluster_conf(2))
        with open(tree + "/boot/grub/run.cfg", "w", encoding="ascii") as file:
            file.write(run_cfg("", 3))
        _command(["grub-mkrescue", "-o", output + ".new", "--install-modules=" + GRUB_MODULES,
                  "--locales=", "--fonts=", "--themes=", tree, "--", "-volid", "ISTHMUS"])
    os.replace(output + ".new", output)


def run_make(output, base, conf, options="", extra=None, wait=0):
    """Copies the base image to `output` with this cluster.conf (text), kernel options
    (words in one text), extra initial files (a cpio archive's bytes, or None), and GRUB's
    menu shown for `wait` seconds."""
    with tempfile.TemporaryDirectory(prefix="isthmus-image-") as tree:
        files = {"/boot/cluster.conf": conf.encode(), "/boot/grub/run.cfg":
                 run_cfg(options, wait).encode()}
        if extra is not None:
            files["/boot/extra.cpio"] = extra
        words = ["xorriso", "-abort_on", "FAILURE", "-indev", base, "-outdev", output,
                 "-boot_image", "any", "replay", "-compliance", "no_emul_toc", "-padding", "0"]
        for number, (name, data) in enumerate(files.items()):
            path = f"{tree}/{number}"
            with open(path, "wb") as file:
                file.write(data)
            words += ["-map", path, name]
        if os.path.exists(output):
            os.unlink(output)
        _command(words)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    base = commands.add_parser("base")
    for name in ("output", "kernel", "initrd", "grub_cfg"):
        base.add_argument(name)
    run = commands.add_parser("run")
    for name in ("output", "base", "conf"):
        run.add_argument(name)
    run.add_argument("--options", default="")
    run.add_argument("--extra")
    run.add_argument("--wait", type=int, default=0)
    args = parser.parse_args()
    try:
        if args.command == "base":
            base_make(args.output, args.kernel, args.initrd, args.grub_cfg)
        else:
            extra = open(args.extra, "rb").read() if args.extra else None
            with open(args.conf, encoding="ascii") as file:
                run_make(args.output, args.base, file.read(), args.options, extra, args.wait)
    except (ImageError, OSError) as error:
        sys.exit(f"mkimage: {error}")


if __name__ == "__main__":
    main()
