// Package version says which build this is.
package version

import "runtime/debug"

// number is set by the linker for releases.
var number = "0.1.0"

// String returns the version, with the commit when the build recorded one.
func String() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return number
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 8 {
			return number + "+" + s.Value[:8]
		}
	}
	return number
}
