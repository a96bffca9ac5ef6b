# Plots of the placement table. Variables: csv (the table), to (prefix of the images).
set datafile separator ','
set datafile missing NaN
set terminal pngcairo size 1100,640 font 'sans,11'
set key outside right
set grid
set logscale xy
set xlabel 'mean operations of a phase (price of a move: 64)'
set ylabel 'cost / offline optimum'
shown = 'never fixed greedy elastic ewma coin counters a=.5 a=1 advised'
do for [share in '75 90 100'] {
    set output to.'phases-'.share.'.png'
    set title 'One process, 4 nodes, '.share.' of 100 uses go to the node of the phase'
    set yrange [0.9:120]
    set xtics (16, 64, 256, 1024, 4096)
    set ytics (1, 1.5, 2, 3, 5, 10, 20, 50, 100)
    rows = '< grep -E "^family|^phases,4,[0-9]+,'.share.'," '.csv
    plot for [i = 1:words(shown)] rows using (column('length')):(column(word(shown, i))) \
        with linespoints lw (word(shown, i) eq 'a=1' ? 4 : 1.5) lc i pt i title word(shown, i), \
        3 with lines dt 2 lc rgb 'black' title 'proven: 3'
}

# One mark a row of the table, family after family.
sorted = 'tail -n +2 '.csv.' | sort -t, -k1,1 -k2,2n -k3,3n -k4,4n'
rows = '< head -1 '.csv.'; '.sorted
starts = system(sorted." | awk -F, '$1 != f { f = $1; printf \"%s %d \", f, NR - 1 }'")
set output to.'families.png'
set title 'Every row of the table, by family, nodes, length, share'
unset logscale
set logscale y
unset xlabel
set xtics () rotate by -40
do for [i = 1:words(starts):2] { set xtics add (word(starts, i) real(word(starts, i + 1))) }
set xrange [-1:*]
set yrange [0.9:40]
plot rows using 0:(column('worst')) with points pt 2 lc rgb '#cc8888' title 'a=1, worst seed', \
     rows using 0:(column('best')) with points pt 6 lc rgb '#33aa33' title 'best online baseline', \
     rows using 0:(column('a=1')) with points pt 7 ps 0.7 lc rgb '#2255aa' title 'a=1, mean', \
     3 with lines dt 2 lc rgb 'black' title '3', 2.1 with lines dt 3 lc rgb 'black' title '2.1'
