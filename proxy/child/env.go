package child

import (
	"maps"
	"slices"
	"strings"
)

// inherited are the variables every child gets: where to find programs and
// its own files, and how to speak. Nothing that could hold a secret is among
// them; what else a child needs is named in its configuration.
var inherited = []string{
	"PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "TMPDIR", "TZ", "LANG",
	"XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR",
}

// Env is the environment of a child: of parent (K=V) only PATH, HOME, USER,
// LOGNAME, SHELL, TERM, TMPDIR, TZ, LANG, all LC_*, and XDG_CACHE_HOME,
// XDG_CONFIG_HOME, XDG_DATA_HOME, XDG_STATE_HOME and XDG_RUNTIME_DIR; then
// extra, which wins. It is sorted and never nil.
func Env(parent []string, extra map[string]string) []string {
	vars := map[string]string{}
	for _, kv := range parent {
		k, v, ok := strings.Cut(kv, "=")
		if ok && (slices.Contains(inherited, k) || strings.HasPrefix(k, "LC_")) {
			vars[k] = v
		}
	}
	maps.Copy(vars, extra)
	out := make([]string, 0, len(vars))
	for _, k := range slices.Sorted(maps.Keys(vars)) {
		out = append(out, k+"="+vars[k])
	}
	return out
}
