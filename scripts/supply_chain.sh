#!/usr/bin/env bash
# What the package is made of: scripts/supply_chain.sh hashes|sbom|audit
#   hashes  write scripts/requirements/hashed/*.txt: every package of the nodes with its digests
#   sbom    write out/sbom_jazzy.cdx.json and out/sbom_kilted.cdx.json, CycloneDX
#   audit   compare the packages with the database of known vulnerabilities, by pip-audit
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

tools=$moss_root/out/supply_chain
requirements=$moss_requirements/hashed

install_tools() {
  [[ -x $tools/bin/pip-audit && $tools/tools.txt -nt $requirements/tools.txt ]] && return
  moss_choose_bare_python
  "$moss_python" -m venv "$tools"
  "$tools/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements/tools.txt"
  cp "$requirements/tools.txt" "$tools/tools.txt"
}

case ${1:-} in
  hashes)
    install_tools
    for ros in jazzy kilted; do
      # From PyPI alone, whatever pip is configured for here; torch is not among them.
      "$tools/bin/uv" pip compile --quiet --no-config --index-url https://pypi.org/simple \
        --universal --python-version 3.10 --generate-hashes --no-header --no-annotate \
        "$moss_requirements"/{demo,bare,"$ros"}.txt -c "$moss_requirements/$ros-constraints.txt" \
        -o "$requirements/$ros.txt"
      moss_say "wrote $requirements/$ros.txt"
    done
    ;;
  sbom)
    install_tools
    for ros in jazzy kilted; do
      # The validation of so many digests takes minutes.
      "$tools/bin/cyclonedx-py" requirements "$requirements/$ros.txt" --no-validate \
        --output-reproducible -o "$moss_root/out/sbom_$ros.cdx.json"
      moss_say "wrote $moss_root/out/sbom_$ros.cdx.json"
    done
    ;;
  audit)
    install_tools
    for ros in jazzy kilted; do
      "$tools/bin/pip-audit" --requirement "$requirements/$ros.txt" --require-hashes --disable-pip \
        --progress-spinner off
    done
    ;;
  *) moss_fail "unknown argument '${1:-}': expected hashes, sbom or audit" ;;
esac
