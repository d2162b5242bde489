# Tables from figures.json: $style is "text" (separated by tabs) or "markdown".

def digits:
    (if . < 0 then -. else . end) as $size |
    (if $size >= 100 then 1 elif $size >= 10 then 10 elif $size >= 1 then 100 else 1000 end) as $scale |
    (. * $scale | round) / $scale | tostring;

def median($unit): if . == null then "not measured"
    else [(.median | digits), $unit] | map(select(. != "")) | join(" ") end;
def spread: if . == null then "" else "\(.p10 | digits) to \(.p90 | digits)" end;
def ratio: if . == null then "" else digits end;
# A row that names no reference stands for itself.
def reference($unit): if .reference_series == null then "" else .reference | median($unit) end;
def verdict: if .squall == null or (.reference_series != null and .reference == null) then "not measured"
    elif .met == null then "" elif .met then "yes" else "NO" end;

# The groups in their order.
def groups: reduce .figures[] as $row ([];
    if length > 0 and .[-1].name == $row.group then .[-1].rows += [$row] else . + [{name: $row.group, rows: [$row]}] end);

def text_row: .unit as $unit |
    ["  " + .what, (.squall | median($unit)), reference($unit), .beside, (.ratio | ratio), .demanded, verdict] |
    join("\t");

def markdown_row: .unit as $unit |
    "| " + ([.what, (.squall | median($unit)), (.squall | spread), reference($unit), (.reference | spread), .beside,
             (.ratio | ratio), .demanded, (verdict | if . == "NO" then "**no**" else . end)] | join(" | ")) + " |";

groups[] |
if $style == "text" then
    "", ([.name, "squall", "reference", "what it is", "ratio", "demanded", "met"] | join("\t")), (.rows[] | text_row)
else
    "", "## \(.name)", "",
    "| | squall | p10 to p90 | reference | p10 to p90 | what it is | ratio | demanded | met |",
    "|---|--:|--:|--:|--:|---|--:|---|---|",
    (.rows[] | markdown_row)
end
