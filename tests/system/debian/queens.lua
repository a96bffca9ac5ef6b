-- Eight queens by coroutines, string patterns, table.sort, integer and float arithmetic.
local function queens(n)
  local function place(row, columns, up, down)
    if row > n then coroutine.yield(table.concat(columns, " ")) return end
    for column = 1, n do
      if not (columns[column + 100] or up[row + column] or down[row - column]) then
        columns[row], columns[column + 100] = column, true
        up[row + column], down[row - column] = true, true
        place(row + 1, columns, up, down)
        columns[row], columns[column + 100] = nil, nil
        up[row + column], down[row - column] = nil, nil
      end
    end
  end
  return coroutine.wrap(function() place(1, {}, {}, {}) end)
end
local found = 0
for board in queens(8) do found = found + 1 if found % 23 == 1 then print(board) end end
print(found)
local counts, words = {}, {}
for line in io.lines(arg[1]) do
  for word in line:gmatch("%d%d%d%d%d") do counts[word] = (counts[word] or 0) + 1 end
end
for word in pairs(counts) do words[#words + 1] = word end
table.sort(words, function(a, b)
  return counts[a] > counts[b] or (counts[a] == counts[b] and a < b) end)
for i = 1, 10 do print(words[i], counts[words[i]]) end
print(#words, 7 // 2, -7 % 3, 2^53, math.maxinteger + 1 == math.mininteger, ("x"):rep(5, "-"))
print(pcall(error, {code = 1}) , select("#", 1, nil, 3), string.format("%q %10.4f", "a\nb", 1 / 3))
