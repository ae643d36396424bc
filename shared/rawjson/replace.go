package rawjson

import "slices"

// Edit puts With in the place of Part, a slice of the text being edited.
type Edit struct{ Part, With []byte }

// Replace returns whole with every edit made, in one copy; all other bytes
// stay. Parts must not overlap and must be slices of whole as this package
// returns them. edits is reordered.
func Replace(whole []byte, edits ...Edit) []byte {
	if len(edits) == 0 {
		return whole
	}
	slices.SortFunc(edits, func(a, b Edit) int { return offset(whole, a.Part) - offset(whole, b.Part) })
	size := len(whole)
	for _, e := range edits {
		size += len(e.With) - len(e.Part)
	}
	out := make([]byte, 0, size)
	copied := 0
	for _, e := range edits {
		at := offset(whole, e.Part)
		out = append(append(out, whole[copied:at]...), e.With...)
		copied = at + len(e.Part)
	}
	return append(out, whole[copied:]...)
}
