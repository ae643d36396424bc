package conf

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// getenv is an environment that holds just vars and a home directory.
func getenv(vars map[string]string) Getenv {
	return func(name string) (string, bool) {
		v, ok := vars[name]
		if !ok && name == "HOME" {
			return "/home/ada", true
		}
		return v, ok
	}
}

// vars is an environment from NAME=value.
func vars(pairs ...string) map[string]string {
	m := map[string]string{}
	for _, p := range pairs {
		k, v, _ := strings.Cut(p, "=")
		m[k] = v
	}
	return m
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// loadText loads a file in a directory of its own. Messages name it p.toml.
func loadText(t *testing.T, src string, env map[string]string, side Side) (*Config, error) {
	t.Helper()
	return load("p.toml", filepath.Join(t.TempDir(), "p.toml"), src, getenv(env), side)
}

func mustLoad(t *testing.T, src string, side Side, env ...string) *Config {
	t.Helper()
	c, err := loadText(t, src, vars(env...), side)
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	return c
}

func warnings(c *Config) string {
	if len(c.Warnings) == 0 {
		return ""
	}
	return Problems(c.Warnings).Error()
}
