// Scores images by a detector that adlib exported: see README.md. Never run so far.

using System.Globalization;
using ImageMagick;
using Microsoft.ML.OnnxRuntime;

const int DepthAt = 24; // in a PNG, the byte that says the bits a channel

if (args.Length < 2)
{
    Console.Error.WriteLine("Usage: score MODEL.onnx IMAGE...");
    return 2;
}
var path = args[0];
try
{
    using var session = Load(path);
    string[] wanted = [.. session.OutputNames.Where(name => name is "score" or "verdict")];
    using var options = new RunOptions();
    Console.WriteLine("path,score,verdict");
    foreach (var image in args.Skip(1))
    {
        path = image;
        var (rgb, height, width) = Decode(File.ReadAllBytes(path));
        using var pixels = OrtValue.CreateTensorValueFromMemory(rgb, [1, height, width, 3]);
        var inputs = new Dictionary<string, OrtValue> { ["images"] = pixels };
        using var found = session.Run(options, inputs, wanted);
        var score = found[Array.IndexOf(wanted, "score")].GetTensorDataAsSpan<float>()[0];
        var verdict = "";
        if (wanted.Contains("verdict"))
        {
            var code = found[Array.IndexOf(wanted, "verdict")].GetTensorDataAsSpan<int>()[0];
            verdict = code == 1 ? "normal" : "anomalous";
        }
        // Nine digits give a float32 back exactly.
        var text = score.ToString("G9", CultureInfo.InvariantCulture);
        Console.WriteLine($"{CsvField(path)},{text},{verdict}");
    }
    return 0;
}
catch (Exception error)
{
    Console.Error.WriteLine($"error: {path} cannot be used: {error.Message}");
    return 1;
}

static InferenceSession Load(string path)
{
    var session = new InferenceSession(File.ReadAllBytes(path));
    if (session.InputMetadata.ContainsKey("images") && session.OutputNames.Contains("score"))
        return session;
    session.Dispose();
    throw new InvalidDataException("it is not a model that adlib exported");
}

// Decodes a PNG or JPEG of 8 bits to RGB, upright. No colour profile is applied: it
// would change the numbers.
static (byte[] Rgb, long Height, long Width) Decode(byte[] bytes)
{
    var isPng = bytes.AsSpan().StartsWith((ReadOnlySpan<byte>)[137, 80, 78, 71]);
    var isJpeg = bytes.AsSpan().StartsWith((ReadOnlySpan<byte>)[255, 216]);
    if (!isPng && !isJpeg)
        throw new InvalidDataException("it is neither PNG nor JPEG");
    if (isPng && bytes.Length > DepthAt && bytes[DepthAt] > 8)
        throw new InvalidDataException("it has more than 8 bits a channel");
    var warning = "";
    using var image = new MagickImage();
    image.Warning += (_, raised) => warning = raised.Message;
    image.Read(bytes);
    if (warning != "") // such as of a JPEG that ends too early
        throw new InvalidDataException(warning);
    if (image.ColorSpace == ColorSpace.CMYK)
        throw new InvalidDataException("it is neither grey nor RGB");
    image.AutoOrient();
    using var pixels = image.GetPixels();
    var rgb = pixels.ToByteArray(PixelMapping.RGB)
        ?? throw new InvalidDataException("it has no pixels");
    return (rgb, image.Height, image.Width);
}

static string CsvField(string text) =>
    text.IndexOfAny([',', '"', '\r', '\n']) < 0 ? text : $"\"{text.Replace("\"", "\"\"")}\"";
