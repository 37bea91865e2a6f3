PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success BOOLEAN NOT NULL,
    checksum BLOB NOT NULL,
    execution_time BIGINT NOT NULL
);
INSERT INTO _sqlx_migrations VALUES(1,'engine','2026-11-26 22:07:34',1,X'd57bff57a31f742a2a05c4fcea8fed207e9d0dddfe92929905e17bbb39c12c89c7c1ce4cf4ceda9b1ea3c371f21dfead',10102112);
INSERT INTO _sqlx_migrations VALUES(2,'logs','2026-11-26 22:07:34',1,X'16c399a6b6c059d20feb3cfd44558964b0989eac0bbb3db74256a1d3633bdf6f30a2be0919a3848ee3240495290a37b6',5554715);
INSERT INTO _sqlx_migrations VALUES(3,'usage','2026-11-26 22:07:34',1,X'020e62ab3ef9badc299b8c91885111a5a824d6073467cf314339ef7407818427109f339b6865645126ff254fb2b0d807',654818);
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES('instance','b82a5328c9c4431fa13335214582454e');
INSERT INTO meta VALUES('vpc.cidr','172.31.0.0/16');
CREATE TABLE clusters (
    arn     TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    region  TEXT NOT NULL,
    name    TEXT NOT NULL,
    status  TEXT NOT NULL,
    body    TEXT NOT NULL
) STRICT;
INSERT INTO clusters VALUES('arn:aws:ecs:us-east-1:000000000000:cluster/mine','000000000000','us-east-1','mine','ACTIVE','{"capacityProviders":["FARGATE","FARGATE_SPOT"],"clusterArn":"arn:aws:ecs:us-east-1:000000000000:cluster/mine","clusterName":"mine","configuration":{"executeCommandConfiguration":{"logging":"DEFAULT"}},"defaultCapacityProviderStrategy":[{"base":1,"capacityProvider":"FARGATE","weight":1},{"capacityProvider":"FARGATE_SPOT","weight":4}],"serviceConnectDefaults":{"namespace":"ns"},"settings":[{"name":"containerInsights","value":"enabled"}],"status":"ACTIVE","tags":[{"key":"team","value":"blue"},{"key":"bare"}]}');
INSERT INTO clusters VALUES('arn:aws:ecs:us-east-1:000000000000:cluster/gone','000000000000','us-east-1','gone','INACTIVE','{"capacityProviders":[],"clusterArn":"arn:aws:ecs:us-east-1:000000000000:cluster/gone","clusterName":"gone","defaultCapacityProviderStrategy":[],"settings":[{"name":"containerInsights","value":"disabled"}],"status":"INACTIVE","tags":[]}');
INSERT INTO clusters VALUES('arn:aws:ecs:us-east-1:000000000000:cluster/default','000000000000','us-east-1','default','ACTIVE','{"capacityProviders":["FARGATE","FARGATE_SPOT"],"clusterArn":"arn:aws:ecs:us-east-1:000000000000:cluster/default","clusterName":"default","defaultCapacityProviderStrategy":[],"settings":[{"name":"containerInsights","value":"disabled"}],"status":"ACTIVE","tags":[]}');
CREATE TABLE families (
    account       TEXT    NOT NULL,
    region        TEXT    NOT NULL,
    family        TEXT    NOT NULL,
    last_revision INTEGER NOT NULL,
    PRIMARY KEY (account, region, family)
) STRICT, WITHOUT ROWID;
INSERT INTO families VALUES('000000000000','us-east-1','app',2);
CREATE TABLE task_definitions (
    arn      TEXT    PRIMARY KEY,
    account  TEXT    NOT NULL,
    region   TEXT    NOT NULL,
    family   TEXT    NOT NULL,
    revision INTEGER NOT NULL,
    status   TEXT    NOT NULL,
    body     TEXT    NOT NULL
) STRICT;
INSERT INTO task_definitions VALUES('arn:aws:ecs:us-east-1:000000000000:task-definition/app:1','000000000000','us-east-1','app',1,'ACTIVE','{"definition":{"compatibilities":["EC2","FARGATE"],"containerDefinitions":[{"command":["-1"],"cpu":128,"dependsOn":[{"condition":"COMPLETE","containerName":"side"}],"dockerLabels":{"l":"v"},"environment":[{"name":"A","value":"1"}],"essential":true,"healthCheck":{"command":["CMD","/a","0"],"interval":5,"retries":1,"startPeriod":3,"timeout":2},"image":"records/golden:1","linuxParameters":{"capabilities":{"add":["SYS_PTRACE"],"drop":["NET_RAW"]},"initProcessEnabled":true},"logConfiguration":{"logDriver":"awslogs","options":{"awslogs-create-group":"true","awslogs-group":"/app","awslogs-multiline-pattern":"^\\S","awslogs-region":"us-east-1","awslogs-stream-prefix":"p"}},"memory":256,"memoryReservation":128,"mountPoints":[{"containerPath":"/scratch","sourceVolume":"scratch"}],"name":"app","portMappings":[{"containerPort":80,"hostPort":80,"protocol":"tcp"},{"containerPort":53,"hostPort":53,"protocol":"udp"}],"readonlyRootFilesystem":true,"restartPolicy":{"enabled":true,"ignoredExitCodes":[0],"restartAttemptPeriod":60},"startTimeout":10,"stopTimeout":5,"systemControls":[{"namespace":"net.core.somaxconn","value":"1024"}],"ulimits":[{"hardLimit":2048,"name":"nofile","softLimit":1024}],"user":"0","volumesFrom":[],"workingDirectory":"/"},{"command":["0"],"cpu":0,"environment":[],"essential":false,"image":"records/golden:1","mountPoints":[],"name":"side","portMappings":[],"systemControls":[],"volumesFrom":[]}],"cpu":"256","ephemeralStorage":{"sizeInGiB":30},"executionRoleArn":"arn:aws:iam::000000000000:role/execution","family":"app","memory":"1024","networkMode":"awsvpc","placementConstraints":[],"registeredAt":1795730860.691,"registeredBy":"arn:aws:iam::000000000000:root","requiresAttributes":[{"name":"com.amazonaws.ecs.capability.logging-driver.awslogs"},{"name":"ecs.capability.execution-role-awslogs"},{"name":"com.amazonaws.ecs.capability.docker-remote-api.1.19"},{"name":"ecs.capability.container-health-check"},{"name":"com.amazonaws.ecs.capability.docker-remote-api.1.24"},{"name":"ecs.capability.container-ordering"},{"name":"com.amazonaws.ecs.capability.task-iam-role"},{"name":"com.amazonaws.ecs.capability.docker-remote-api.1.18"},{"name":"ecs.capability.task-eni"}],"requiresCompatibilities":["FARGATE"],"revision":1,"runtimePlatform":{"cpuArchitecture":"X86_64","operatingSystemFamily":"LINUX"},"status":"ACTIVE","taskDefinitionArn":"arn:aws:ecs:us-east-1:000000000000:task-definition/app:1","taskRoleArn":"arn:aws:iam::000000000000:role/task","volumes":[{"name":"scratch"}]},"tags":[{"key":"team","value":"blue"},{"key":"bare"}]}');
INSERT INTO task_definitions VALUES('arn:aws:ecs:us-east-1:000000000000:task-definition/app:2','000000000000','us-east-1','app',2,'INACTIVE','{"definition":{"compatibilities":["EC2","FARGATE"],"containerDefinitions":[{"command":["-1"],"cpu":128,"dependsOn":[{"condition":"COMPLETE","containerName":"side"}],"dockerLabels":{"l":"v"},"environment":[{"name":"A","value":"1"}],"essential":true,"healthCheck":{"command":["CMD","/a","0"],"interval":5,"retries":1,"startPeriod":3,"timeout":2},"image":"records/golden:1","linuxParameters":{"capabilities":{"add":["SYS_PTRACE"],"drop":["NET_RAW"]},"initProcessEnabled":true},"logConfiguration":{"logDriver":"awslogs","options":{"awslogs-create-group":"true","awslogs-group":"/app","awslogs-multiline-pattern":"^\\S","awslogs-region":"us-east-1","awslogs-stream-prefix":"p"}},"memory":256,"memoryReservation":128,"mountPoints":[{"containerPath":"/scratch","sourceVolume":"scratch"}],"name":"app","portMappings":[{"containerPort":80,"hostPort":80,"protocol":"tcp"},{"containerPort":53,"hostPort":53,"protocol":"udp"}],"readonlyRootFilesystem":true,"restartPolicy":{"enabled":true,"ignoredExitCodes":[0],"restartAttemptPeriod":60},"startTimeout":10,"stopTimeout":5,"systemControls":[{"namespace":"net.core.somaxconn","value":"1024"}],"ulimits":[{"hardLimit":2048,"name":"nofile","softLimit":1024}],"user":"0","volumesFrom":[],"workingDirectory":"/"},{"command":["0"],"cpu":0,"environment":[],"essential":false,"image":"records/golden:1","mountPoints":[],"name":"side","portMappings":[],"systemControls":[],"volumesFrom":[]}],"cpu":"256","deregisteredAt":1795730863.205,"ephemeralStorage":{"sizeInGiB":30},"executionRoleArn":"arn:aws:iam::000000000000:role/execution","family":"app","memory":"1024","networkMode":"awsvpc","placementConstraints":[],"registeredAt":1795730861.93,"registeredBy":"arn:aws:iam::000000000000:root","requiresAttributes":[{"name":"com.amazonaws.ecs.capability.logging-driver.awslogs"},{"name":"ecs.capability.execution-role-awslogs"},{"name":"com.amazonaws.ecs.capability.docker-remote-api.1.19"},{"name":"ecs.capability.container-health-check"},{"name":"com.amazonaws.ecs.capability.docker-remote-api.1.24"},{"name":"ecs.capability.container-ordering"},{"name":"com.amazonaws.ecs.capability.task-iam-role"},{"name":"com.amazonaws.ecs.capability.docker-remote-api.1.18"},{"name":"ecs.capability.task-eni"}],"requiresCompatibilities":["FARGATE"],"revision":2,"runtimePlatform":{"cpuArchitecture":"X86_64","operatingSystemFamily":"LINUX"},"status":"INACTIVE","taskDefinitionArn":"arn:aws:ecs:us-east-1:000000000000:task-definition/app:2","taskRoleArn":"arn:aws:iam::000000000000:role/task","volumes":[{"name":"scratch"}]},"tags":[{"key":"team","value":"blue"},{"key":"bare"}]}');
CREATE TABLE tasks (
    arn         TEXT    PRIMARY KEY,
    cluster_arn TEXT    NOT NULL,
    last_status TEXT    NOT NULL,
    stopped_at  INTEGER,
    body        TEXT    NOT NULL
) STRICT;
INSERT INTO tasks VALUES('arn:aws:ecs:us-east-1:000000000000:task/mine/0df94bb6616444acb6e5b83a52dfc1cc','arn:aws:ecs:us-east-1:000000000000:cluster/mine','RUNNING',NULL,'{"arn":"arn:aws:ecs:us-east-1:000000000000:task/mine/0df94bb6616444acb6e5b83a52dfc1cc","id":"0df94bb6616444acb6e5b83a52dfc1cc","region":"us-east-1","cluster_arn":"arn:aws:ecs:us-east-1:000000000000:cluster/mine","task_definition_arn":"arn:aws:ecs:us-east-1:000000000000:task-definition/app:1","family":"app","group":"family:app","started_by":"me","launch_type":"FARGATE","capacity_provider_name":"FARGATE","platform_version":"1.4.0","platform_family":"Linux","cpu_architecture":"X86_64","cpu":256,"memory":1024,"ephemeral_storage":30,"ephemeral_storage_requested":true,"enable_execute_command":false,"overrides":{"containerOverrides":[{"environment":[{"name":"B","value":"2"}],"name":"app"},{"name":"side"}],"inferenceAcceleratorOverrides":[]},"tags":[{"key":"own","value":"1"},{"key":"team","value":"blue"},{"key":"bare","value":""},{"key":"aws:ecs:clusterName","value":"mine"}],"availability_zone":"us-east-1a","last_status":"RUNNING","desired_status":"RUNNING","version":4,"health":"HEALTHY","connectivity":"CONNECTED","stop_code":null,"stopped_reason":null,"created_at":1795730864464,"connectivity_at":1795730864469,"pull_started_at":1795730864472,"pull_stopped_at":1795730864487,"started_at":1795730865122,"stopping_at":null,"execution_stopped_at":null,"stopped_at":null,"initialized":true,"shows_activating":false,"attachment":{"id":"8adaaa79-b1bb-4380-9917-9f3d6ba48c70","status":"ATTACHED","subnet_id":"subnet-0a1b2c3d","security_groups":["sg-0a1b2c3d"],"sandbox_id":"a2fd28fb1de34df1bdc6791378bdc5c0","network_interface_id":"eni-a2fd28fb1de34df1b","mac_address":"02:42:ac:1f:00:04","private_dns_name":"ip-172-31-0-4.ec2.internal","private_ipv4_address":"172.31.0.4"},"containers":[{"name":"app","arn":"arn:aws:ecs:us-east-1:000000000000:container/mine/0df94bb6616444acb6e5b83a52dfc1cc/2d1f43b5-a70d-4e99-83ad-d26de7cb50d5","runtime_id":"0df94bb6616444acb6e5b83a52dfc1cc-5992171440","container_id":"561791652a1f5e01ae15235c77268a93a242f6489d8c4f2a5930d5dcc211d2fd","image_digest":"sha256:60512516ef35b5b4b8195a9bc1c7d49f82dd8760d29031ed77a3fa12f28a18f3","last_status":"RUNNING","started_at":1795730865120,"stopped_at":null,"exit_code":null,"reason":null,"health":"HEALTHY","restart_count":0},{"name":"side","arn":"arn:aws:ecs:us-east-1:000000000000:container/mine/0df94bb6616444acb6e5b83a52dfc1cc/7d29bab6-57bf-4d3c-acce-73c93335372e","runtime_id":"0df94bb6616444acb6e5b83a52dfc1cc-4982941061","container_id":"e090ea637d3facbabf51444b1f275959433dcf96e27061db28225a4f40489d4a","image_digest":"sha256:60512516ef35b5b4b8195a9bc1c7d49f82dd8760d29031ed77a3fa12f28a18f3","last_status":"STOPPED","started_at":1795730864849,"stopped_at":1795730864886,"exit_code":0,"reason":null,"health":"UNKNOWN","restart_count":0}],"spec":{"containers":[{"name":"app","image":"records/golden:1","entry_point":null,"command":["-1"],"environment":[["A","1"],["B","2"]],"user":"0","working_directory":"/","readonly_root_filesystem":true,"interactive":false,"pseudo_terminal":false,"init_process":true,"add_capabilities":["SYS_PTRACE"],"drop_capabilities":["NET_RAW"],"ulimits":[{"name":"nofile","soft":1024,"hard":2048}],"sysctls":{"net.core.somaxconn":"1024"},"docker_labels":{"l":"v"},"health_check":{"command":["CMD","/a","0"],"interval":5,"timeout":2,"retries":1,"start_period":3},"mounts":[{"volume":"scratch","path":"/scratch","read_only":false}],"volumes_from":[],"essential":true,"depends_on":[{"container":"side","condition":"Complete"}],"start_timeout":10,"stop_timeout":5,"restart_policy":{"ignored_exit_codes":[0],"restart_attempt_period":60},"cpu":128,"memory":256,"memory_reservation":128,"log":{"group":"/app","region":"us-east-1","stream_prefix":"p","create_group":true,"multiline_pattern":"^\\S"},"port_mappings":[{"container_port":80,"protocol":"tcp"},{"container_port":53,"protocol":"udp"}]},{"name":"side","image":"records/golden:1","entry_point":null,"command":["0"],"environment":[],"user":null,"working_directory":null,"readonly_root_filesystem":false,"interactive":false,"pseudo_terminal":false,"init_process":false,"add_capabilities":[],"drop_capabilities":[],"ulimits":[],"sysctls":{},"docker_labels":{},"health_check":null,"mounts":[],"volumes_from":[],"essential":false,"depends_on":[],"start_timeout":null,"stop_timeout":30,"restart_policy":null,"cpu":0,"memory":null,"memory_reservation":null,"log":null,"port_mappings":[]}],"volumes":["scratch"],"shared_pid":false}}');
INSERT INTO tasks VALUES('arn:aws:ecs:us-east-1:000000000000:task/mine/7693248366db48349dc089089cdca664','arn:aws:ecs:us-east-1:000000000000:cluster/mine','STOPPED',1795730867625,'{"arn":"arn:aws:ecs:us-east-1:000000000000:task/mine/7693248366db48349dc089089cdca664","id":"7693248366db48349dc089089cdca664","region":"us-east-1","cluster_arn":"arn:aws:ecs:us-east-1:000000000000:cluster/mine","task_definition_arn":"arn:aws:ecs:us-east-1:000000000000:task-definition/app:1","family":"app","group":"family:app","started_by":null,"launch_type":"FARGATE","capacity_provider_name":null,"platform_version":"1.4.0","platform_family":"Linux","cpu_architecture":"X86_64","cpu":256,"memory":1024,"ephemeral_storage":30,"ephemeral_storage_requested":true,"enable_execute_command":false,"overrides":{"containerOverrides":[{"command":["7"],"name":"app"},{"name":"side"}],"inferenceAcceleratorOverrides":[]},"tags":[],"availability_zone":"us-east-1a","last_status":"STOPPED","desired_status":"STOPPED","version":5,"health":"UNKNOWN","connectivity":"CONNECTED","stop_code":"EssentialContainerExited","stopped_reason":"Essential container in task exited","created_at":1795730866318,"connectivity_at":1795730866321,"pull_started_at":1795730866325,"pull_stopped_at":1795730866334,"started_at":1795730866976,"stopping_at":1795730867028,"execution_stopped_at":1795730867018,"stopped_at":1795730867625,"initialized":true,"shows_activating":false,"attachment":{"id":"c15ce1e6-710f-4814-a8a6-d106fe111fb0","status":"DELETED","subnet_id":"subnet-0a1b2c3d","security_groups":["sg-0a1b2c3d"],"sandbox_id":"7299fbe083714bf79dc988e89c0f0aa8","network_interface_id":"eni-7299fbe083714bf79","mac_address":"02:42:ac:1f:00:05","private_dns_name":"ip-172-31-0-5.ec2.internal","private_ipv4_address":"172.31.0.5"},"containers":[{"name":"app","arn":"arn:aws:ecs:us-east-1:000000000000:container/mine/7693248366db48349dc089089cdca664/560eb15f-d5a5-40dd-9ce4-7fc0ad9d421b","runtime_id":"7693248366db48349dc089089cdca664-7799247622","container_id":"6d4e2bff2f1ea6bb3d0bb7821f880b7c9709f20f695b0e09b641db936fb506f9","image_digest":"sha256:60512516ef35b5b4b8195a9bc1c7d49f82dd8760d29031ed77a3fa12f28a18f3","last_status":"STOPPED","started_at":1795730866976,"stopped_at":1795730867018,"exit_code":7,"reason":null,"health":"UNKNOWN","restart_count":0},{"name":"side","arn":"arn:aws:ecs:us-east-1:000000000000:container/mine/7693248366db48349dc089089cdca664/8c24718d-8f8d-4f37-8a3e-7d614e987363","runtime_id":"7693248366db48349dc089089cdca664-0840208470","container_id":"c6e92400da50e0fc10ea17c7cbe6e9377b115a85aad6c6b2a9ce66d326774a64","image_digest":"sha256:60512516ef35b5b4b8195a9bc1c7d49f82dd8760d29031ed77a3fa12f28a18f3","last_status":"STOPPED","started_at":1795730866612,"stopped_at":1795730866654,"exit_code":0,"reason":null,"health":"UNKNOWN","restart_count":0}],"spec":{"containers":[{"name":"app","image":"records/golden:1","entry_point":null,"command":["7"],"environment":[["A","1"]],"user":"0","working_directory":"/","readonly_root_filesystem":true,"interactive":false,"pseudo_terminal":false,"init_process":true,"add_capabilities":["SYS_PTRACE"],"drop_capabilities":["NET_RAW"],"ulimits":[{"name":"nofile","soft":1024,"hard":2048}],"sysctls":{"net.core.somaxconn":"1024"},"docker_labels":{"l":"v"},"health_check":{"command":["CMD","/a","0"],"interval":5,"timeout":2,"retries":1,"start_period":3},"mounts":[{"volume":"scratch","path":"/scratch","read_only":false}],"volumes_from":[],"essential":true,"depends_on":[{"container":"side","condition":"Complete"}],"start_timeout":10,"stop_timeout":5,"restart_policy":{"ignored_exit_codes":[0],"restart_attempt_period":60},"cpu":128,"memory":256,"memory_reservation":128,"log":{"group":"/app","region":"us-east-1","stream_prefix":"p","create_group":true,"multiline_pattern":"^\\S"},"port_mappings":[{"container_port":80,"protocol":"tcp"},{"container_port":53,"protocol":"udp"}]},{"name":"side","image":"records/golden:1","entry_point":null,"command":["0"],"environment":[],"user":null,"working_directory":null,"readonly_root_filesystem":false,"interactive":false,"pseudo_terminal":false,"init_process":false,"add_capabilities":[],"drop_capabilities":[],"ulimits":[],"sysctls":{},"docker_labels":{},"health_check":null,"mounts":[],"volumes_from":[],"essential":false,"depends_on":[],"start_timeout":null,"stop_timeout":30,"restart_policy":null,"cpu":0,"memory":null,"memory_reservation":null,"log":null,"port_mappings":[]}],"volumes":["scratch"],"shared_pid":false}}');
CREATE TABLE client_tokens (
    scope      TEXT    NOT NULL,
    token      TEXT    NOT NULL,
    digest     TEXT    NOT NULL,
    task_arns  TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (scope, token)
) STRICT, WITHOUT ROWID;
INSERT INTO client_tokens VALUES('arn:aws:ecs:us-east-1:000000000000:cluster/mine','1c8d8be8-3c73-4861-a806-3cdbe0f01fff','c69002fb40b13fd7eaf549f3b69c2d9ef94ae0f051d7b29cbcde58089dccb61f','["arn:aws:ecs:us-east-1:000000000000:task/mine/7693248366db48349dc089089cdca664"]',1795730866318);
INSERT INTO client_tokens VALUES('arn:aws:ecs:us-east-1:000000000000:cluster/mine','token-1','41f0ab00fdf7adc778f0901c0f433fc85dd7a20f434b6cd9f9949ee38ab15053','["arn:aws:ecs:us-east-1:000000000000:task/mine/0df94bb6616444acb6e5b83a52dfc1cc"]',1795730864464);
CREATE TABLE sandboxes (
    sandbox_id  TEXT    PRIMARY KEY,
    subnet_id   TEXT    NOT NULL,
    address     TEXT    NOT NULL,
    mac_address TEXT    NOT NULL,
    state       TEXT    NOT NULL CHECK (state IN ('idle', 'claimed')),
    task_arn    TEXT    CHECK ((state = 'claimed') = (task_arn IS NOT NULL)),
    created_at  INTEGER NOT NULL,
    UNIQUE (subnet_id, address)
) STRICT, WITHOUT ROWID;
INSERT INTO sandboxes VALUES('64d3f56dda7c462d9449cfcd416928bd','subnet-0000000000000000b','172.31.64.4','02:42:ac:1f:40:04','idle',NULL,1795730856836);
INSERT INTO sandboxes VALUES('a2fd28fb1de34df1bdc6791378bdc5c0','subnet-0000000000000000a','172.31.0.4','02:42:ac:1f:00:04','claimed','arn:aws:ecs:us-east-1:000000000000:task/mine/0df94bb6616444acb6e5b83a52dfc1cc',1795730857400);
INSERT INTO sandboxes VALUES('c90e5d55e60d4379b1bc75bfe6fda6bd','subnet-0000000000000000a','172.31.0.6','02:42:ac:1f:00:06','idle',NULL,1795730867751);
CREATE TABLE log_groups (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    account        TEXT    NOT NULL,
    region         TEXT    NOT NULL,
    name           TEXT    NOT NULL,
    class          TEXT    NOT NULL,
    created_at     INTEGER NOT NULL,
    retention_days INTEGER,
    kms_key_id     TEXT,
    is_protected   INTEGER NOT NULL,
    tags           TEXT    NOT NULL,
    UNIQUE (account, region, name)
) STRICT;
INSERT INTO log_groups VALUES(1,'000000000000','us-east-1','/app','STANDARD',1795730864471,NULL,NULL,0,'{}');
CREATE TABLE log_streams (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    group_id          INTEGER NOT NULL REFERENCES log_groups ON DELETE CASCADE,
    name              TEXT    NOT NULL,
    created_at        INTEGER NOT NULL,
    first_event_at    INTEGER,
    last_event_at     INTEGER,
    last_ingestion_at INTEGER,
    stored_bytes      INTEGER NOT NULL DEFAULT 0,
    -- What the next event is numbered. A number is never given twice in a stream.
    next_sequence     INTEGER NOT NULL DEFAULT 0,
    UNIQUE (group_id, name)
) STRICT;
INSERT INTO log_streams VALUES(1,1,'p/app/0df94bb6616444acb6e5b83a52dfc1cc',1795730864471,1795730865117,1795730865117,1795730866142,43,1);
INSERT INTO log_streams VALUES(3,1,'p/app/7693248366db48349dc089089cdca664',1795730866328,1795730866959,1795730866959,1795730867071,43,1);
CREATE TABLE log_blocks (
    id              INTEGER PRIMARY KEY,
    stream_id       INTEGER NOT NULL REFERENCES log_streams ON DELETE CASCADE,
    first_timestamp INTEGER NOT NULL,
    first_sequence  INTEGER NOT NULL,
    last_timestamp  INTEGER NOT NULL,
    events          BLOB    NOT NULL
) STRICT;
INSERT INTO log_blocks VALUES(1,1,1795730865117,0,1795730865117,X'dd7be619a2010000de7fe619a20100000000000000001100000068656c6c6f0a2020636f6e74696e756564');
INSERT INTO log_blocks VALUES(2,3,1795730866959,0,1795730866959,X'0f83e619a20100007f83e619a20100000000000000001100000068656c6c6f0a2020636f6e74696e756564');
CREATE TABLE log_cursors (
    container_id TEXT PRIMARY KEY,
    body         TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO log_cursors VALUES('561791652a1f5e01ae15235c77268a93a242f6489d8c4f2a5930d5dcc211d2fd','{"cursor":{"floor":1795730855,"stored":{"1795730865":2}},"stdout":null,"stderr":null,"multiline":null,"last":1795730865117}');
CREATE TABLE usage (
    task_arn   TEXT    PRIMARY KEY,
    stopped_at INTEGER NOT NULL,
    body       TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO usage VALUES('arn:aws:ecs:us-east-1:000000000000:task/mine/00000000000000000000000000000001',1795727000000,'{"task_arn":"arn:aws:ecs:us-east-1:000000000000:task/mine/00000000000000000000000000000001","cluster_arn":"arn:aws:ecs:us-east-1:000000000000:cluster/mine","region":"us-east-1","family":"app","group":"family:app","tags":[["team","blue"]],"arm":false,"spot":true,"cpu":256,"memory":1024,"ephemeral_storage":30,"from":1795726000000,"until":1795727000000}');
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('log_groups',4);
INSERT INTO sqlite_sequence VALUES('log_streams',4);
CREATE UNIQUE INDEX clusters_by_name ON clusters (account, region, name);
CREATE UNIQUE INDEX task_definitions_by_revision ON task_definitions (account, region, family, revision);
CREATE INDEX tasks_stopped ON tasks (stopped_at) WHERE stopped_at IS NOT NULL;
CREATE INDEX client_tokens_by_age ON client_tokens (created_at);
CREATE INDEX sandboxes_idle ON sandboxes (subnet_id, created_at) WHERE state = 'idle';
CREATE UNIQUE INDEX log_blocks_in_order ON log_blocks (stream_id, first_timestamp, first_sequence);
COMMIT;
