"""power_cut.py - what a disk holds after the power was cut: from the shadow that inject took at every sync, and from what processes saw last.

At least what was synced is there. Of the rest, anything may be: a file's pages as they were or as they are, or the first sectors of one as they are and
the others as they were; a name where it was or where it is. A rename is atomic, as all Linux file systems have it: the file is not at both places, and
not at neither.
"""
import os
import random
import shutil

PAGE, SECTOR = 4096, 512


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


class Shadow:
    def __init__(self, path):
        self.path = path
        with open(path + "/roots", encoding="utf-8") as file:
            self.roots = [line.rstrip("\n").split(" ", 1) for line in file]
        self.synced, self.now = self._places("names"), self._places("now")

    def _places(self, kind):
        """key of a file -> [(key of the directory, d or f, name), ...]"""
        places = {}
        for listing in os.listdir(self.path):
            if not listing.endswith("." + kind):
                continue
            with open(f"{self.path}/{listing}", encoding="utf-8") as file:
                for line in file:
                    key, what, name = line.rstrip("\n").split(" ", 2)
                    places.setdefault(key, []).append((listing[:-len(kind) - 1], what, name))
        return places

    def bytes_now(self):
        """key -> contents of every file that still has a name"""
        found = {}
        for key, path in self.roots:
            self._read_now(key, path, found)
        return found

    def _read_now(self, directory, path, found):
        for key, places in self.now.items():
            for parent, what, name in places:
                if parent == directory and what == "d":
                    self._read_now(key, f"{path}/{name}", found)
                elif parent == directory:
                    found[key] = read(f"{path}/{name}")

    def restore(self, chance=None):
        """The roots become what the disk holds: without chance (a random.Random) nothing that was not synced."""
        contents = self.bytes_now() if chance else {}
        chosen = {}
        for key in sorted(self.synced.keys() | self.now.keys()):
            places = self.synced.get(key, [])
            if chance and chance.random() < 0.5:
                places = self.now.get(key, [])
            for directory, what, name in places:
                chosen.setdefault(directory, {})[name] = (key, what)
        for key, path in self.roots:
            shutil.rmtree(path)
            self._build(key, path, chosen, contents, chance)

    def _build(self, directory, path, chosen, contents, chance):
        os.mkdir(path, 0o700)
        for name, (key, what) in chosen.get(directory, {}).items():
            if what == "d":
                self._build(key, f"{path}/{name}", chosen, contents, chance)
                continue
            data = read(f"{self.path}/{key}.data")
            if chance and key in contents:
                data = mix(data, contents[key], chance)
            with open(f"{path}/{name}", "wb") as file:
                file.write(data)
            os.chmod(f"{path}/{name}", 0o600)


def mix(old, new, chance):
    """Page by page the one, the other, or half of it. A file that has grown may have any size between; what was never written is zeros."""
    if old == new:
        return old
    low, high = sorted((len(old), len(new)))
    size = chance.choice([len(old), len(new), low + (high - low) // PAGE // 2 * PAGE])
    result = bytearray()
    for at in range(0, size, PAGE):
        pages = [data[at:at + PAGE].ljust(PAGE, b"\0") for data in (old, new)]
        torn = chance.choice([0, PAGE, chance.randrange(0, PAGE, SECTOR)])
        result += pages[1][:torn] + pages[0][torn:]
    return bytes(result[:size])


def restore_after_power_cut(path, seed=None):
    Shadow(path).restore(random.Random(seed) if seed is not None else None)
