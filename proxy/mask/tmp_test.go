package mask
import ("testing";"time";"encoding/json";"fmt";"os";"portero/shared/rawjson")
func best(n int, f func()) time.Duration { b := time.Hour; for range n { s := time.Now(); f(); if d := time.Since(s); d < b { b = d } }; return b }
func TestTmpSpeed(t *testing.T) {
	if os.Getenv("TMPSPEED") == "" { t.Skip() }
	const size = 256<<10
	doc := mail(size, "")
	mb := func(d time.Duration) string { return fmt.Sprintf("%.0f MB/s", float64(len(doc))/1e6/d.Seconds()) }
	fmt.Println("json.Valid", mb(best(200, func(){ json.Valid(doc) })))
	fmt.Println("rawjson.Valid", mb(best(200, func(){ rawjson.Valid(doc) })))
	for _, n := range []int{1,10,100,1000,10000} {
		pairs := people(min(n,4000))
		s := time.Now(); table := mustCompile(t, pairs...); c := time.Since(s)
		hits := mail(size, pairs[0].Real)
		fmt.Println(n, "clean", mb(best(200, func(){ table.Mask(doc, Result) })), "hits", mb(best(200, func(){ table.Mask(hits, Result) })), "restore", mb(best(200, func(){ table.Restore(doc) })), "compile", c)
	}
}
