#!/usr/bin/env bash
# The direction of includes. Each folder may include itself and what its line lists; no two folders include each other.
set -u
cd "$(dirname "$0")/.."
declare -A may=(
    [kernels]=""
    [kernels/reference]="kernels"
    [kernels/x86]="kernels kernels/reference"
    [kernels/cuda]="kernels kernels/reference"
    [graph]="kernels"
    [graph/ops]="graph kernels"
    [graph/passes]="graph graph/ops kernels"
    [graph/planner]="kernels"
    [graph/quantize]="graph kernels"
    [graph/steps]="graph kernels"
    [formats]="graph kernels"
    [formats/onnx]="formats graph kernels"
    [runtime/weights]="graph graph/steps formats kernels"
    [runtime/compile]="runtime/weights formats graph graph/passes graph/steps graph/planner kernels"
    [runtime/device]="graph kernels"
    [runtime]="runtime/compile runtime/device runtime/weights graph graph/passes graph/steps graph/planner formats kernels"
    [predictor]="runtime formats kernels"
    [tools/problems]="kernels"
    [tools]="tools/problems predictor runtime runtime/compile runtime/weights graph graph/passes graph/quantize graph/steps graph/planner formats formats/onnx kernels"
)
bad=0 seen=0

folder_of() # PATH: the folder of the table that it lies in
{
    local folder=${1%/*}
    while [ -z "${may[$folder]+set}" ] && [[ $folder == */* ]]; do
        folder=${folder%/*}
    done
    echo "$folder"
}

complain()
{
    echo "$1"
    bad=$((bad + 1))
}

declare -A pair=()
while IFS=: read -r file line text; do
    included=$(sed -E 's/.*"([^"]+)".*/\1/' <<<"$text")
    from=${file%/*} to=${included%/*}
    [ -n "${may[$from]+set}" ] || from=$(folder_of "$file")
    [ -n "${may[$to]+set}" ] || to=$(folder_of "$included")
    seen=$((seen + 1))
    [ "$from" = "$to" ] && continue
    pair[$from>$to]=1
    [[ " ${may[$from]-none} " == *" $to "* ]] || complain "$file:$line: $from/ may not include $to/"
done < <(grep -rnE '^#include "[a-z]+/' --include='*.[ch]' --include='*.inc' --include='*.cu' --include='*.cuh' \
    kernels graph formats runtime predictor tools)

# The predictor is a user of the public headers: beside them, it may include headers of inline functions.
while IFS=: read -r file line text; do
    complain "$file:$line: predictor/ may not know this part of runtime/"
done < <(grep -nE '^#include "runtime/' predictor/*.[ch] | grep -vE '"runtime/(infer|infer_predictor|float_environment|clock)\.h"')

for key in "${!pair[@]}"; do
    [ -z "${pair[${key#*>}>${key%>*}]+set}" ] || complain "${key%>*}/ and ${key#*>}/ include each other"
done

echo "$((seen - bad)) passed, $bad failed"
[ "$bad" -eq 0 ] && [ "$seen" -gt 100 ]
