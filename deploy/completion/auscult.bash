# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Completion for auscult and auscult-worker in bash. It asks the programs themselves (--help,
# --help-settings), so that it knows whatever the installed ones know.

# The options in a help text, one a line.
_auscult_options() {
    grep -oE '(^  |, |  )--?[a-z][a-z-]*' | grep -oE -- '--?[a-z][a-z-]*' | sort -u
}

# The word that a help text has behind an option: its value's name, or nothing for a flag.
_auscult_value_of() { # OPTION
    awk -v option="$1" '$1 == option && $0 ~ "^  " option " [^ ]" { print $2; exit }'
}

_auscult() {
    local program=$1 current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local help value
    COMPREPLY=()
    # `=` parts words: "--set key=value" comes as three.
    if [ "$current" = = ] || [ "$previous" = = ]; then
        return
    fi
    if [ "${program##*/}" = auscult-worker ]; then
        help=$("$program" --help 2>/dev/null)
    elif [ "$COMP_CWORD" -eq 1 ]; then
        local commands
        commands=$("$program" --help 2>/dev/null | sed -n 's/^  \([a-z][a-z-]*\)  .*/\1/p')
        mapfile -t COMPREPLY < <(compgen -W "$commands --help --version" -- "$current")
        return
    else
        help=$("$program" "${COMP_WORDS[1]}" --help 2>/dev/null)
    fi
    if [ "$previous" = --set ] && [ "${COMP_WORDS[1]}" != synth ]; then
        local keys
        keys=$("$program" run --help-settings 2>/dev/null | sed -n 's/^  \([a-z_][a-z_0-9]*\)  .*/\1=/p')
        mapfile -t COMPREPLY < <(compgen -W "$keys" -- "$current")
        compopt -o nospace
        return
    fi
    case $previous in
    --preset) value='default dcase-baseline notebook' ;;
    --kernel) value='prescott haswell skylakex' ;;
    -*) value=$(_auscult_value_of "$previous" <<<"$help") ;;
    *) value= ;;
    esac
    case $value in
    *' '*) mapfile -t COMPREPLY < <(compgen -W "$value" -- "$current") ;;
    DIR | RUN)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -d -- "$current")
        ;;
    '' | PATH | FILE | FILE*)
        if [ -z "$value" ] && [[ $current == -* ]]; then
            mapfile -t COMPREPLY < <(compgen -W "$(_auscult_options <<<"$help")" -- "$current")
        else
            compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
        fi
        ;;
    esac
}

complete -F _auscult auscult auscult-worker
