package local

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	embedded "github.com/fergusstrange/embedded-postgres"
)

// version is the Postgres that tests and the demo run against. Another one means another download.
const version = embedded.V18

// Cache returns where downloads and unpacked programs stay. Root's own cache directory is closed to the user
// that a server runs as.
func Cache() (string, error) {
	if dir := os.Getenv("TRIBUTARY_TEST_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	if os.Getuid() == 0 {
		return "/var/cache/tributary", nil
	}
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "tributary"), err
}

// binaries returns the directory of the unpacked server, after fetching and unpacking it where it is not
// there yet. Test packages run as processes beside each other: the lock lets one of them do it.
func binaries() (string, error) {
	cache, err := Cache()
	if err != nil {
		return "", fmt.Errorf("find the cache directory: %w", err)
	}
	dir := filepath.Join(cache, "postgres-"+string(version))
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("make the cache directory: %w", err)
	}
	lock, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", fmt.Errorf("lock the cache directory: %w", err)
	}
	defer lock.Close() // Closing releases the lock.
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	if _, err := os.Stat(filepath.Join(dir, "bin", "postgres")); err == nil {
		return dir, nil
	}
	// A rename is all or nothing: a process that died while it unpacked leaves nothing that looks whole.
	parts := dir + ".parts"
	if err := errors.Join(os.RemoveAll(parts), os.RemoveAll(dir), unpack(cache, parts)); err != nil {
		return "", fmt.Errorf("unpack Postgres %s: %w", version, err)
	}
	return dir, os.Rename(parts, dir)
}

// unpack fetches the server's archive into cache, unless it is there, and unpacks it into dir.
//
// The library unpacks only on the way to starting a server of its own. So it may start one, which is
// stopped again; or, for root, initdb refuses to run, which is what we wait for: by then everything is
// unpacked.
func unpack(cache, dir string) error {
	work, err := os.MkdirTemp("", "tributary-unpack-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	port, err := FreePort()
	if err != nil {
		return err
	}
	server := embedded.NewDatabase(embedded.DefaultConfig().Version(version).Port(uint32(port)).
		Logger(io.Discard).CachePath(cache).BinariesPath(dir).RuntimePath(filepath.Join(work, "run")).
		DataPath(filepath.Join(work, "data")))
	switch err := server.Start(); {
	case err == nil:
		err = server.Stop()
		return errors.Join(err, readable(dir))
	case os.Getuid() == 0 && strings.Contains(err.Error(), "cannot be run as root"):
		return readable(dir)
	default:
		return err
	}
}

// readable lets every user read dir: the server may run as another one, and the umask may have said no.
func readable(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.Type()&os.ModeSymlink != 0 {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		mode := info.Mode().Perm() | 0o444
		if mode&0o100 != 0 {
			mode |= 0o111
		}
		return os.Chmod(path, mode)
	})
}
