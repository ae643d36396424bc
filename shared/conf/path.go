package conf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Getenv looks up a variable of the environment, as os.LookupEnv does.
type Getenv func(name string) (value string, ok bool)

// Path is the configuration file to read: flag when it is not empty, else
// $PORTERO_CONFIG, else $XDG_CONFIG_HOME/portero/portero.toml, else
// ~/.config/portero/portero.toml. The working directory is never searched:
// whoever wrote the folder one works in must not choose what is executed. The
// error, which carries its own remedy, is that there is no home directory.
func Path(flag string, getenv Getenv) (string, error) {
	if flag == "" {
		flag, _ = getenv("PORTERO_CONFIG")
	}
	if flag != "" {
		return expandHome(flag, getenv)
	}
	dir, err := baseDir("XDG_CONFIG_HOME", "~/.config", getenv)
	if err != nil {
		return "", fmt.Errorf("find configuration: %w; set HOME, or name a file with --config", err)
	}
	return filepath.Join(dir, "portero", "portero.toml"), nil
}

// baseDir is one of the XDG base directories. The specification has relative
// values ignored, and so the working directory stays out of it.
func baseDir(name, def string, getenv Getenv) (string, error) {
	if dir, _ := getenv(name); filepath.IsAbs(dir) {
		return dir, nil
	}
	return expandHome(def, getenv)
}

// expandHome replaces a leading ~ by the home directory.
func expandHome(path string, getenv Getenv) (string, error) {
	rest, ok := strings.CutPrefix(path, "~")
	if !ok || rest != "" && !os.IsPathSeparator(rest[0]) {
		return path, nil
	}
	for _, name := range []string{"HOME", "USERPROFILE"} {
		if home, _ := getenv(name); filepath.IsAbs(home) {
			return filepath.Join(home, rest), nil
		}
	}
	return "", errors.New("the home directory is not known")
}

// DirError is a directory that Portero cannot keep its files in.
type DirError struct {
	Path string
	Err  error
	hint string
}

// Error names the directory and the reason.
func (e *DirError) Error() string {
	return fmt.Sprintf("use directory %s: %v", e.Path, reason(e.Err))
}

// Unwrap is the reason.
func (e *DirError) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *DirError) Hint() string { return e.hint }

// PrivateDir makes sure that path is a directory for secrets: what is missing
// of it is created with mode 0700, and a file is written to it and removed
// again, because the modes tell nothing of a full disk or a read-only mount.
// An existing directory keeps its mode, but one that everybody may write to is
// refused. The error is a *DirError.
func PrivateDir(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return &DirError{path, err, "name a directory that can be created (state_dir in [proxy], data_dir in [relay]), or remove the file in its way"}
	}
	info, err := os.Stat(path)
	if err != nil {
		return &DirError{path, err, "name another directory (state_dir in [proxy], data_dir in [relay])"}
	}
	if info.Mode()&0o002 != 0 {
		return &DirError{path, errors.New("everybody on this machine can write to it"), fmt.Sprintf("run: chmod 700 '%s'; or name a directory of your own", path)}
	}
	if err := probe(path); err != nil {
		hint := fmt.Sprintf("make it writable for you (chmod u+rwx '%s'), or name another directory (state_dir in [proxy], data_dir in [relay])", path)
		if !errors.Is(err, fs.ErrPermission) {
			hint = "see that the disk is not full and not mounted read-only, or name another directory (state_dir in [proxy], data_dir in [relay])"
		}
		return &DirError{path, err, hint}
	}
	return nil
}

func probe(dir string) (err error) {
	f, err := os.CreateTemp(dir, ".portero-probe-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	_, err = f.WriteString("probe\n")
	return err
}
