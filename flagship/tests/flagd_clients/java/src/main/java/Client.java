import com.fasterxml.jackson.databind.ObjectMapper;
import dev.openfeature.contrib.providers.flagd.Config;
import dev.openfeature.contrib.providers.flagd.FlagdOptions;
import dev.openfeature.contrib.providers.flagd.FlagdProvider;
import dev.openfeature.sdk.EventDetails;
import dev.openfeature.sdk.FlagEvaluationDetails;
import dev.openfeature.sdk.ImmutableContext;
import dev.openfeature.sdk.OpenFeatureAPI;
import dev.openfeature.sdk.Structure;
import dev.openfeature.sdk.Value;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/**
 * Asks through OpenFeature's flagd provider for Java. Lines of standard input: {port, selector}, then {rows}; of
 * standard output: {results} for each, and {event} for each event.
 */
public final class Client {
  private static final ObjectMapper JSON = new ObjectMapper();

  private Client() {}

  public static void main(String[] arguments) throws Exception {
    var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    var about = JSON.readTree(lines.readLine());
    var provider =
        new FlagdProvider(
            FlagdOptions.builder()
                .resolverType(Config.Resolver.RPC)
                .host("127.0.0.1")
                .port(about.get("port").asInt())
                .selector(about.get("selector").asText())
                .cacheType("lru")
                .maxCacheSize(100)
                .deadline(60_000)
                .retryBackoffMs(100)
                .build());
    var api = OpenFeatureAPI.getInstance();
    api.setProviderAndWait(provider);
    var client = api.getClient();
    client.onProviderConfigurationChanged(heard("changed"));
    client.onProviderStale(heard("stale"));
    client.onProviderReady(heard("ready"));
    say(Map.of("event", "started"));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      List<Object> results = new ArrayList<>();
      for (var row : JSON.readTree(line).get("rows")) {
        results.add(ask(client, JSON.convertValue(row, Map.class)));
      }
      say(Map.of("results", results));
    }
    // Its shutdown does not come to an end where the stream was cut before.
    Runtime.getRuntime().halt(0);
  }

  private static Consumer<EventDetails> heard(String event) {
    return details -> {
      Map<String, Object> members = new LinkedHashMap<>();
      members.put("event", event);
      members.put("flags", details.getFlagsChanged());
      say(members);
    };
  }

  private static synchronized void say(Object members) {
    try {
      System.out.println(JSON.writeValueAsString(members));
    } catch (com.fasterxml.jackson.core.JsonProcessingException error) {
      throw new IllegalStateException(error);
    }
  }

  private static Map<String, Object> ask(dev.openfeature.sdk.Client client, Map<String, Object> row) {
    var flag = (String) row.get("flag");
    var preset = row.get("default");
    Map<String, Value> attributes = new LinkedHashMap<>();
    String key = null;
    if (row.get("context") instanceof Map<?, ?> given) {
      for (var one : given.entrySet()) {
        if (one.getKey().equals("targetingKey")) {
          key = (String) one.getValue();
        } else {
          attributes.put((String) one.getKey(), Value.objectToValue(one.getValue()));
        }
      }
    }
    var context = key == null ? new ImmutableContext(attributes) : new ImmutableContext(key, attributes);
    return switch ((String) row.get("type")) {
      case "boolean" -> told(client.getBooleanDetails(flag, (Boolean) preset, context));
      case "string" -> told(client.getStringDetails(flag, (String) preset, context));
      case "integer" -> told(client.getIntegerDetails(flag, ((Number) preset).intValue(), context));
      case "float" -> told(client.getDoubleDetails(flag, ((Number) preset).doubleValue(), context));
      default -> told(client.getObjectDetails(flag, Value.objectToValue(preset), context));
    };
  }

  private static Map<String, Object> told(FlagEvaluationDetails<?> details) {
    Map<String, Object> members = new LinkedHashMap<>();
    Object value = details.getValue();
    members.put("value", value instanceof Value one ? plain(one) : value);
    members.put("variant", details.getVariant());
    members.put("reason", details.getReason());
    members.put("errorCode", details.getErrorCode() == null ? null : details.getErrorCode().name());
    return members;
  }

  private static Object plain(Value value) {
    if (value.isStructure()) {
      Map<String, Object> members = new LinkedHashMap<>();
      Structure structure = value.asStructure();
      structure.asMap().forEach((name, one) -> members.put(name, plain(one)));
      return members;
    }
    if (value.isList()) {
      return value.asList().stream().map(Client::plain).toList();
    }
    return value.asObject();
  }
}
