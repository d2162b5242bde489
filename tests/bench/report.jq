# Figures from samples: medians beside medians. Called by report.sh with $samples (lines "SERIES VALUE"), $machine.
# A ratio tells how many times less squall takes than what stands beside it.

def quantile($q): sort | .[((length - 1) * $q) | round];

def series:
    reduce ($samples | split("\n")[] | select(test("^[a-z]\\S* -?[0-9.]+$")) | split(" ")) as [$name, $value]
        ({}; .[$name] += [$value | tonumber]);

def summary: if . == null then null else
    {median: quantile(0.5), p10: quantile(0.1), p90: quantile(0.9), samples: length} end;

def demanded:
    if .demanded then .demanded else
    [ (if .at_most == null then empty elif .at_most == 0 then "none" else "at most \(.at_most) \(.unit)" end),
      (if .times == null then empty elif .times == 1 then "no more" else "\(.times) times less" end) ] | join(", ") end;

def is_met($ours; $theirs):
    if .at_most == null and .times == null then null else
    (.at_most == null or $ours.median <= .at_most) and
    (.times == null or $theirs.median >= .times * $ours.median) end;

series as $series |
{machine: $machine, figures: [.figures[] | .group as $group | .rows[] |
    ($series[.series] | summary) as $ours | ($series[.reference // ""] | summary) as $theirs |
    {group: $group, what, unit, beside, demanded: demanded, series, squall: $ours, reference_series: .reference,
     reference: $theirs,
     ratio: (if $ours == null or $theirs == null or $ours.median <= 0 or $theirs.median < 0 then null
             else $theirs.median / $ours.median end),
     met: (if $ours == null or (.reference != null and $theirs == null) then null else is_met($ours; $theirs) end)}]}
