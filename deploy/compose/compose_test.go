// Package compose holds the compose file to what it promises.
package compose

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

type service struct {
	Image      string
	User       string
	ReadOnly   bool     `yaml:"read_only"`
	CapDrop    []string `yaml:"cap_drop"`
	Restart    string
	MemLimit   string `yaml:"mem_limit"`
	Profiles   []string
	Ports      []string
	Secrets    []string
	Networks   []string
	Command    []string
	Env        map[string]string       `yaml:"environment"`
	HealthTest struct{ Test []string } `yaml:"healthcheck"`
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func services(t *testing.T) map[string]service {
	t.Helper()
	var file struct{ Services map[string]service }
	if err := yaml.Unmarshal([]byte(read(t, "compose.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Services) < 8 {
		t.Fatalf("found %d services, expected at least 8", len(file.Services))
	}
	return file.Services
}

func TestServicesAreConfined(t *testing.T) {
	for name, s := range services(t) {
		if s.User != "65532:65532" || !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || s.MemLimit == "" {
			t.Errorf("%s: expected a user without rights, a read-only root, no capabilities and a limit of memory; found %+v", name, s)
		}
		if daemon := len(s.Profiles) == 0; daemon && (s.Restart != "unless-stopped" || len(s.HealthTest.Test) == 0) {
			t.Errorf("%s: expected a restart policy and a health check", name)
		}
		for _, p := range s.Ports {
			if !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("%s: port %s is open beyond this host", name, p)
			}
		}
	}
}

// A coordinator counts runs by user, and in the container all would be nobody.
func TestUsersAreToldApart(t *testing.T) {
	all := services(t)
	for _, name := range []string{"train", "cli"} {
		if found := all[name].Env["WARMSTART_USER"]; !strings.Contains(found, "${USER:-}") {
			t.Errorf("%s: found user %q, expected that of who runs it", name, found)
		}
	}
	if found := all["coordinator"].Env["WARMSTART_MAX_RUNS_PER_USER"]; found == "" {
		t.Error("coordinator: found no quota")
	}
}

// Workers and the command line hold NATS credentials only, and cannot even reach etcd and S3.
func TestG8_OnlyCoordinatorsHoldBackendCredentials(t *testing.T) {
	all := services(t)
	for name, secret := range map[string]string{"worker": "nats_worker", "train": "nats_cli", "cli": "nats_cli"} {
		if s := all[name]; !slices.Equal(s.Secrets, []string{secret}) || !slices.Equal(s.Networks, []string{"bus"}) {
			t.Errorf("%s: found secrets %v and networks %v, expected %s and bus alone", name, s.Secrets, s.Networks, secret)
		}
	}
	for _, name := range []string{"etcd", "s3"} {
		if s := all[name]; !slices.Equal(s.Networks, []string{"backends"}) || len(s.Ports) > 0 {
			t.Errorf("%s: expected it on the network backends alone, without ports; found %v, %v", name, s.Networks, s.Ports)
		}
	}
}

// Versions stand in the modules that pin the servers for the tests; Dockerfile and compose.yaml name the same.
func TestVersionsAgree(t *testing.T) {
	dockerfile := read(t, "Dockerfile")
	pinned := func(server, module string) string {
		found := regexp.MustCompile(regexp.QuoteMeta(module) + ` v(\S+)`).FindStringSubmatch(read(t, "../../internal/testservers/servers/"+server+"/go.mod"))
		if found == nil {
			t.Fatalf("%s: found no version of %s", server, module)
		}
		return found[1]
	}
	nats := pinned("nats", "github.com/nats-io/nats-server/v2")
	etcd := pinned("etcd", "go.etcd.io/etcd/server/v3")
	gateway := pinned("versitygw", "github.com/versity/versitygw")
	for _, image := range []string{"--from=nats:" + nats + " ", "--from=versity/versitygw:v" + gateway + " "} {
		if !strings.Contains(dockerfile, image) {
			t.Errorf("Dockerfile: found no %q: the tests pin that version", image)
		}
	}
	all := services(t)
	for name, version := range map[string]string{"nats": nats, "etcd": etcd, "s3": gateway} {
		if image := all[name].Image; !strings.Contains(image, ":"+version+"-") {
			t.Errorf("%s: image %s, expected version %s in its tag", name, image, version)
		}
	}
	base := regexp.MustCompile(`FROM (golang:\S+)`).FindStringSubmatch(dockerfile)
	if base == nil || !strings.Contains(read(t, "lib.sh"), base[1]) {
		t.Errorf("lib.sh: expected the Dockerfile's %v", base)
	}
}

// Images come from the default registry by name, pinned; the archived S3 server is none of them.
func TestImageNames(t *testing.T) {
	name := regexp.MustCompile(`(?m)^FROM (\S+)|--from=(\S+)`)
	stages := []string{"scratch"}
	for _, m := range regexp.MustCompile(`(?m)^FROM \S+ AS (\S+)`).FindAllStringSubmatch(read(t, "Dockerfile"), -1) {
		stages = append(stages, m[1])
	}
	for _, m := range name.FindAllStringSubmatch(read(t, "Dockerfile"), -1) {
		image := m[1] + m[2]
		if slices.Contains(stages, image) {
			continue
		}
		first, _, _ := strings.Cut(image, "/")
		if strings.Contains(first, ".") && strings.Contains(image, "/") || !regexp.MustCompile(`:v?\d+\.\d+\.\d+`).MatchString(image) {
			t.Errorf("Dockerfile: image %q, expected a name without a registry and with a whole version", image)
		}
	}
	for _, file := range []string{"Dockerfile", "compose.yaml", "offline.sh"} {
		if strings.Contains(strings.ToLower(read(t, file)), "minio") {
			t.Errorf("%s names an S3 server whose images are gone", file)
		}
	}
}
