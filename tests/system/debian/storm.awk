# A random walk that the file's numbers push, and a count of words: arithmetic, arrays, printf.
{
    for (i = 1; i <= 20; i++) walk = (walk * 1103 + $2 + i) % 65521
    count[$2]++
    if (NR % 50 == 0) printf "%d %05d %s\n", NR, walk, substr($1, 1, 1 + walk % 9)
}
END { for (i = 0; i < 977; i++) print i, count[i] + 0 }
