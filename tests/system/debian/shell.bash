# What bash has and sh has not: arrays, processes for files, here strings, arithmetic, traps.
declare -A seen=([one]=1 [two]=2)
list=(alpha beta "gamma delta")
printf '%s|' "${list[@]}" "${#list[@]}" "${list[@]: -1}" "${seen[two]}"; echo
for ((i = 0, sum = 0; i < 2000; i++)); do ((sum += i * i % 7)); done; echo $sum
while read -r a b; do echo "$b-$a"; done < <(printf '1 x\n2 y\n')
cat <<<"here $((0x1f ** 2)) ${list[0]^^} ${list[1]/b/B} ${#list}"
[[ abc123 =~ ^([a-z]+)([0-9]+)$ ]] && echo "${BASH_REMATCH[1]} ${BASH_REMATCH[2]}"
trap 'echo on exit' EXIT
f() { local x=$1; ((x > 1)) && echo $(($(f $((x - 1))) * x)) || echo 1; }
f 6
(exit 3); echo $?; { echo out; echo err >&2; } 2>&1 | sort; echo "${PIPESTATUS[@]}"
coproc tr a-z A-Z; echo coproc >&"${COPROC[1]}"; eval "exec ${COPROC[1]}>&-"; cat <&"${COPROC[0]}"
wait; kill -TERM $BASHPID & wait $!; echo $?
printf -v padded '%08.3f' 3.14159; echo "$padded" {a..e}{1..2}; comm -3 <(seq 3) <(seq 2)
select_() { case $1 in a*) echo A ;;& *b) echo B ;; *) echo other ;; esac; }; select_ ab; select_ x
