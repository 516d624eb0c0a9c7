# SPDX-License-Identifier: Apache-2.0
# bash completion for backplane

_backplane_plugins()
{
    "${1:-backplane}" plugins 2>/dev/null | awk 'NR > 1 { print $1 }'
}

# The words before the cursor, so that options can be completed from the command's own help.
_backplane_options()
{
    "$1" "$2" --help 2>/dev/null | grep -oE -- '^  .*--[a-z-]+=?' | grep -oE -- '--[a-z-]+=?' | sort -u
}

# Those of the machine, as its devices have some of their own; or else all that every machine has.
_backplane_commands()
{
    "$1" ctl --timeout=2 --commands "$2" 2>/dev/null || "$1" ctl --commands
}

# The socket, the command, then the keys of its arguments.
_backplane_ctl()
{
    local word position=0 socket= name=
    for word in "${COMP_WORDS[@]:2:COMP_CWORD-2}"; do
        [[ $word == -* ]] && continue
        position=$((position + 1))
        ((position == 1)) && socket=$word
        ((position == 2)) && name=$word
    done
    case $position in
    0)
        mapfile -t COMPREPLY < <(compgen -f -- "$2")
        compopt -o filenames
        ;;
    1)
        mapfile -t COMPREPLY < <(compgen -W "$(_backplane_commands "$1" "$socket" | awk '/^[a-z]/ { print $1 }')" -- "$2")
        ;;
    *)
        mapfile -t COMPREPLY < <(compgen -W "$(_backplane_commands "$1" "$socket" | awk -v name="$name" '
            found { for (i = 1; i <= NF; i++) if (sub(/:.*/, "=", $i)) print $i; exit }
            $1 == name { found = 1 }')" -- "$2")
        compopt -o nospace
        ;;
    esac
}

_backplane()
{
    local program=${COMP_WORDS[0]} current=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]}

    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W "run check show plugins ctl sdk --help --version" -- "$current")
        return
    fi
    if [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_backplane_options "$program" "$command")" -- "$current")
        [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace
        return
    fi
    case $command in
    plugins)
        mapfile -t COMPREPLY < <(compgen -W "$(_backplane_plugins "$program")" -- "$current"
                                 compgen -f -X '!*.so' -- "$current"; compgen -d -- "$current")
        ;;
    run | check | show)
        mapfile -t COMPREPLY < <(compgen -f -X '!*.cfg' -- "$current"; compgen -d -- "$current")
        compopt -o filenames
        ;;
    ctl)
        _backplane_ctl "$program" "$current"
        ;;
    sdk)
        if ((COMP_CWORD == 2)); then
            mapfile -t COMPREPLY < <(compgen -W "new check" -- "$current")
        else
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            compopt -o filenames
        fi
        ;;
    esac
}

complete -F _backplane backplane
