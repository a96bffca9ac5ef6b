"""Counts and sorts the words of the file named by its argument; regular expressions."""
import re
import sys

with open(sys.argv[1], encoding="ascii") as file:
    text = file.read()
counts = {}
for word in re.findall(r"\b\d{3}\b", text):
    counts[word] = counts.get(word, 0) + 1
for word, n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:20]:
    print(n, word)
print(re.sub(r"(\d+)(\d{3}) (\d+) line", r"\2-\3", text[:300]))
lines = sorted(text.splitlines(), key=lambda line: line[::-1])
print(len(lines), lines[0], lines[-1], sep="\n")
print(bytes(range(65, 91)).decode().lower(), "naïve".encode("utf-8"), "é".upper())
